package main

import "time"

// signalKind is what the far end tells the gateway while an INVITE is open.
type signalKind string

const (
	signalRinging    signalKind = "ringing"
	signalAnswered   signalKind = "answered"
	signalRejected   signalKind = "rejected"
	signalTimedOut   signalKind = "timed_out"   // the ringing timeout came first: CANCEL
	signalNoResponse signalKind = "no_response" // the transaction timed out
)

type sipSignal struct {
	after time.Duration // since the INVITE
	kind  signalKind
	sip   Reject // of a rejection
}

// signals lays out one INVITE in time. The last one is final; none comes after the ringing timeout.
func (b Behaviour) signals(ringingTimeout time.Duration) []sipSignal {
	var line []sipSignal
	now := milliseconds(b.TryingMS)
	if ring := b.ring(ringingTimeout); ring > 0 {
		line = append(line, sipSignal{after: now, kind: signalRinging})
		now += ring
	}
	last := sipSignal{after: now, kind: signalAnswered}
	switch b.final() {
	case finalBusy:
		last.kind, last.sip = signalRejected, Reject{Status: 486, Text: "Busy Here"}
	case finalReject:
		last.kind, last.sip = signalRejected, *b.Reject
		last.after += milliseconds(b.Reject.AfterMS)
	case finalNoResponse:
		last.kind, last.after = signalNoResponse, max(now, timerB)
	case finalNoAnswer:
		last.kind, last.after = signalTimedOut, ringingTimeout
	}
	return cutAt(append(line, last), ringingTimeout)
}

// ring is how long 180 Ringing lasts: an answer rings briefly by default, a rejection doesn't ring.
func (b Behaviour) ring(ringingTimeout time.Duration) time.Duration {
	switch {
	case b.RingMS != nil:
		return milliseconds(*b.RingMS)
	case b.final() == finalNoAnswer:
		return ringingTimeout
	case b.final() == finalAnswer:
		return defaultRing
	default:
		return 0
	}
}

func cutAt(line []sipSignal, limit time.Duration) []sipSignal {
	for i, s := range line {
		if s.after >= limit && s.kind != signalTimedOut {
			return append(line[:i:i], sipSignal{after: limit, kind: signalTimedOut})
		}
	}
	return line
}
