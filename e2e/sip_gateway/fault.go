package main

import (
	"fmt"
	"os"
	"sync"
)

// FaultMode is a way in which the gateway itself goes wrong.
type FaultMode string

const (
	faultNone              FaultMode = "none"
	faultHang              FaultMode = "hang"                // takes the request, dials nobody, never replies
	faultReplyLost         FaultMode = "reply_lost"          // makes the call, never replies
	faultCrashBeforeInvite FaultMode = "crash_before_invite" // dies before the request is written down
	faultCrashAfterInvite  FaultMode = "crash_after_invite"  // dies as soon as it is written down
	faultCrashAfterAnswer  FaultMode = "crash_after_answer"  // dies when the callee has answered
)

// Fault goes wrong for the next Calls requests, or for all if that is 0.
type Fault struct {
	Mode  FaultMode `json:"mode"`
	Calls int       `json:"calls,omitempty"`
}

func parseFault(text []byte) (Fault, error) {
	var f Fault
	if err := decodeStrictly(text, &f); err != nil {
		return f, err
	}
	switch f.Mode {
	case faultNone, faultHang, faultReplyLost, faultCrashBeforeInvite, faultCrashAfterInvite, faultCrashAfterAnswer:
		return f, nil
	default:
		return f, fmt.Errorf("unknown fault %q", f.Mode)
	}
}

type faults struct {
	mu    sync.Mutex
	fault Fault
}

func (f *faults) set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// take tells how the next request goes wrong.
func (f *faults) take() FaultMode {
	f.mu.Lock()
	defer f.mu.Unlock()
	mode := f.fault.Mode
	if f.fault.Calls == 1 {
		f.fault = Fault{Mode: faultNone}
	} else if f.fault.Calls > 1 {
		f.fault.Calls--
	}
	return mode
}

const killedExitCode = 137 // what a shell reports of a process that was killed with SIGKILL

// crash dies without leaving rooms, flushing or answering.
func crash() { os.Exit(killedExitCode) }
