package main

import (
	"testing"
	"time"
)

func TestAListIsUsedUpAndItsLastBehaviourStays(t *testing.T) {
	s := newScript(newVirtualClock())
	s.setNumber("+1", []Behaviour{{Final: finalBusy}, {Callee: calleeSilent}})
	got := []Behaviour{s.next("+1", 0), s.next("+1", 0), s.next("+1", 0)}
	if got[0].Final != finalBusy || got[1].Callee != calleeSilent || got[2].Callee != calleeSilent {
		t.Fatalf("got %v", got)
	}
	if other := s.next("+2", 0); other.Final != "" {
		t.Fatalf("another number got %v", other)
	}
}

func TestTheRateHoldsWithinAnyRollingSecond(t *testing.T) {
	time := newVirtualClock()
	s := newScript(time)
	s.set(Script{Throttle: &Throttle{MaxCallsPerSecond: 2}})
	steps := []struct {
		wait    int
		refused bool
	}{{0, false}, {600, false}, {399, true}, {1, false}, {599, true}, {1, false}}
	for i, step := range steps {
		_ = time.Sleep(t.Context(), milliseconds(step.wait))
		if refused := s.next("+1", 0).Reject != nil; refused != step.refused {
			t.Errorf("call %d at %v: refused %v", i, time.Now().Sub(noon), refused)
		}
	}
}

func TestAThrottledCallUsesUpNothingOfItsNumber(t *testing.T) {
	s := newScript(newVirtualClock())
	s.set(Script{Throttle: &Throttle{MaxConcurrent: 1, Status: 429, Text: "full"}})
	s.setNumber("+1", []Behaviour{{Final: finalBusy}, {}})
	refused := s.next("+1", 1).Reject
	if refused == nil || refused.Status != 429 || refused.Text != "full" {
		t.Fatalf("got %v", refused)
	}
	if first := s.next("+1", 0); first.Final != finalBusy {
		t.Fatalf("got %v", first)
	}
}

func TestAFaultCanBeLimitedToSomeCalls(t *testing.T) {
	var f faults
	f.set(Fault{Mode: faultReplyLost, Calls: 2})
	got := []FaultMode{f.take(), f.take(), f.take()}
	if got[0] != faultReplyLost || got[1] != faultReplyLost || got[2] != faultNone {
		t.Fatalf("got %v", got)
	}
	f.set(Fault{Mode: faultHang})
	for range 3 {
		if f.take() != faultHang {
			t.Fatal("a fault without a number of calls stays")
		}
	}
}

func TestOnlySteppingForwardIsPossible(t *testing.T) {
	all := []state{stateDialing, stateRinging, stateAutomation, stateActive, stateEnded}
	for from, s := range all {
		for to, next := range all {
			if _, err := s.to(next); err == nil && to <= from {
				t.Errorf("%s to %s was allowed", s, next)
			}
		}
		if _, err := s.to(stateEnded); err != nil && s != stateEnded {
			t.Errorf("%s can't end", s)
		}
	}
}

func TestAVirtualSecondRunsItsTimersInOrder(t *testing.T) {
	clock := newVirtualClock()
	var ran []int
	clock.AfterFunc(2*time.Second, func() { ran = append(ran, 2) })
	clock.AfterFunc(time.Second, func() { ran = append(ran, 1) })
	clock.AfterFunc(time.Second, func() {})()
	_ = clock.Sleep(t.Context(), 90*time.Second)
	if len(ran) != 2 || ran[0] != 1 || ran[1] != 2 {
		t.Fatalf("got %v", ran)
	}
}
