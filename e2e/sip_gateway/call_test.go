package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/psrpc"
)

func TestAnAnsweredCallGoesThroughEveryState(t *testing.T) {
	f := newFixture(t, Behaviour{RingMS: number(2000), Lines: []string{"Who is there?"}, HangUpWhenDone: true})
	if err := f.call.dial(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	f.call.converse()

	want := []string{"ringing", "active", "subscribed", "hangup", "left CLIENT_INITIATED"}
	if !slices.Equal(f.leg.seen, want) {
		t.Fatalf("the room saw %v, want %v", f.leg.seen, want)
	}
	r := f.record()
	if r.Outcome != outcomeAnswered || r.EndedBy != endedByCallee {
		t.Fatalf("got %s, %s", r.Outcome, r.EndedBy)
	}
	// 300 ms, one second of hello, the pause, one second of the line.
	if length := r.EndedAt.Sub(*r.AnsweredAt); length != 3300*time.Millisecond {
		t.Fatalf("the call lasted %v", length)
	}
	if ringing := r.AnsweredAt.Sub(*r.RingingAt); ringing != 2*time.Second {
		t.Fatalf("it rang for %v", ringing)
	}
}

func TestARefusalCarriesItsCodeAndLeavesNoHangup(t *testing.T) {
	f := newFixture(t, Behaviour{Reject: &Reject{Status: 603, Text: "Decline"}})
	err := f.call.dial(t.Context(), time.Minute)
	status := livekit.SIPStatusFrom(err)
	if status == nil || status.Code != 603 || status.Status != "Decline" {
		t.Fatalf("got %v", err)
	}
	if want := []string{"left USER_REJECTED"}; !slices.Equal(f.leg.seen, want) {
		t.Fatalf("the room saw %v", f.leg.seen)
	}
}

func TestFailuresReadAsTheServiceTellsThem(t *testing.T) {
	cases := map[string]struct {
		behaviour Behaviour
		code      psrpc.ErrorCode
		outcome   Outcome
		left      string
	}{
		"no answer":          {Behaviour{Final: finalNoAnswer}, psrpc.Canceled, outcomeNoAnswer, "USER_UNAVAILABLE"},
		"no response":        {Behaviour{Final: finalNoResponse}, psrpc.Canceled, outcomeNoResponse, "USER_UNAVAILABLE"},
		"auth without creds": {Behaviour{Reject: &Reject{Status: 407}}, psrpc.FailedPrecondition, outcomeRejected, "USER_REJECTED"},
		"unknown number":     {Behaviour{Reject: &Reject{Status: 404}}, psrpc.NotFound, outcomeRejected, "USER_UNAVAILABLE"},
		"a carrier's error":  {Behaviour{Reject: &Reject{Status: 500}}, psrpc.FailedPrecondition, outcomeRejected, "UNKNOWN_REASON"},
		"a trunk's limit": {
			Behaviour{Reject: &Reject{Status: 503, Text: "CPS limit exceeded"}},
			psrpc.FailedPrecondition, outcomeRejected, "USER_REJECTED",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, c.behaviour)
			err := f.call.dial(t.Context(), time.Minute)
			if code, _ := psrpc.GetErrorCode(err); code != c.code {
				t.Errorf("code %s, want %s: %v", code, c.code, err)
			}
			if r := f.record(); r.Outcome != c.outcome || r.EndedAt == nil {
				t.Errorf("outcome %s, want %s", r.Outcome, c.outcome)
			}
			if last := f.leg.seen[len(f.leg.seen)-1]; last != "left "+c.left {
				t.Errorf("%s, want %s", last, c.left)
			}
		})
	}
}

func TestARoomThatGoesAwayCancelsTheRinging(t *testing.T) {
	f := newFixture(t, Behaviour{RingMS: number(5000)})
	f.clock.AfterFunc(time.Second, func() { f.call.cancel(errEnded) })
	err := f.call.dial(t.Context(), time.Minute)
	if code, _ := psrpc.GetErrorCode(err); code != psrpc.Canceled {
		t.Fatalf("got %v", err)
	}
	if r := f.record(); r.Outcome != outcomeCanceled || r.EndedAt.Sub(*r.RingingAt) != time.Second {
		t.Fatalf("got %s after %v", r.Outcome, r.EndedAt.Sub(*r.RingingAt))
	}
}

func TestWhatEndsACallFirstIsWhatEndedIt(t *testing.T) {
	cases := map[string]struct {
		behaviour Behaviour
		maxLength time.Duration
		by        EndedBy
		after     time.Duration
	}{
		"the callee hangs up": {Behaviour{HangUpAfterMS: number(1500), DropAfterMS: number(1600)}, 0, endedByCallee, 1500 * time.Millisecond},
		"the media dies":      {Behaviour{HangUpAfterMS: number(1700), DropAfterMS: number(1600)}, 0, endedByDrop, 1600 * time.Millisecond},
		"the longest allowed": {Behaviour{HangUpAfterMS: number(1700)}, time.Second, endedByMaxDuration, time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, c.behaviour)
			f.call.maxLength = c.maxLength
			if err := f.call.dial(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			_ = f.clock.Sleep(context.Background(), time.Hour)
			r := f.record()
			if r.EndedBy != c.by || r.EndedAt.Sub(*r.AnsweredAt) != c.after {
				t.Fatalf("ended by %s after %v", r.EndedBy, r.EndedAt.Sub(*r.AnsweredAt))
			}
		})
	}
}

func TestRequestedDigitsComeBeforeTheCallIsActive(t *testing.T) {
	f := newFixture(t, Behaviour{Callee: calleeSilent, DTMF: &Digits{Digits: "9#", AfterMS: 500}})
	f.call.ledger.update("SCL_1", func(r *Record) { r.DTMFOnAnswer = "12" })
	if err := f.call.dial(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	_ = f.clock.Sleep(t.Context(), time.Minute)
	want := []string{"ringing", "automation", "active", "subscribed", "key 9", "key #"}
	if !slices.Equal(f.leg.seen, want) {
		t.Fatalf("the room saw %v", f.leg.seen)
	}
	r := f.record()
	if len(r.DTMFReceived) != 2 || r.DTMFReceived[1].Digit != "2" {
		t.Fatalf("received %v", r.DTMFReceived)
	}
	if len(r.DTMFSent) != 2 || r.DTMFSent[0].AtMS != 500 || r.DTMFSent[1].AtMS != 600 {
		t.Fatalf("sent %v", r.DTMFSent)
	}
}

func TestTheCalleeWaitsForTheAgentToFallSilent(t *testing.T) {
	wait := Step{WaitForAgent: &WaitForAgent{StartWithinMS: 5000, QuietMS: 800}}
	for name, speaks := range map[string]bool{"the agent spoke": true, "the agent was silent": false} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Behaviour{Steps: []Step{wait, {HangUp: true}}})
			if err := f.call.dial(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			if speaks {
				f.clock.AfterFunc(2*time.Second, func() { f.call.ear.hear(loud(320), f.clock.Now()) })
			}
			f.call.converse()
			r := f.record()
			if len(r.Events) != 1 || r.Events[0].What != name {
				t.Fatalf("got %v", r.Events)
			}
			length := r.EndedAt.Sub(*r.AnsweredAt)
			if speaks && (length < 2800*time.Millisecond || length > 2850*time.Millisecond) {
				t.Fatalf("waited %v", length)
			}
		})
	}
}

func TestATransferLetsGoOrSaysWhyNot(t *testing.T) {
	f := newFixture(t, Behaviour{Callee: calleeSilent, Transfer: &Transfer{AfterMS: 300}})
	if err := f.call.transfer(t.Context(), "tel:+1", nil); err == nil {
		t.Fatal("a call that isn't answered can't be transferred")
	}
	if err := f.call.dial(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := f.call.transfer(t.Context(), "tel:+1", nil); err != nil {
		t.Fatal(err)
	}
	_ = f.clock.Sleep(t.Context(), time.Minute)
	if r := f.record(); r.EndedBy != endedByTransfer || r.EndedAt.Sub(*r.AnsweredAt) != 1300*time.Millisecond {
		t.Fatalf("ended by %s", r.EndedBy)
	}

	refusing := newFixture(t, Behaviour{Callee: calleeSilent, Transfer: &Transfer{Status: 486, Text: "Busy Here"}})
	if err := refusing.call.dial(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	err := refusing.call.transfer(t.Context(), "tel:+1", nil)
	if status := livekit.SIPStatusFrom(err); status == nil || status.Code != 486 {
		t.Fatalf("got %v", err)
	}
	if refusing.record().EndedAt != nil {
		t.Fatal("a failed transfer keeps the call")
	}
}

func TestABrokenVoiceIsOnRecord(t *testing.T) {
	f := newFixture(t, Behaviour{})
	f.call.speaker = mute{}
	if err := f.call.dial(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	f.call.converse()
	if events := f.record().Events; len(events) != 1 || !strings.Contains(events[0].What, "no voice") {
		t.Fatalf("got %v", events)
	}
}

type mute struct{}

func (mute) speech(string) (clip, error) { return nil, errors.New("no voice") }
func (mute) tone(Tone) (clip, error)     { return nil, errors.New("no voice") }

func loud(samples int) []int16 { return slices.Repeat([]int16{9000, -9000}, samples/2) }
