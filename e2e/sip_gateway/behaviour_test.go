package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestABehaviourIsReadStrictly(t *testing.T) {
	cases := map[string]struct{ text, wants string }{
		"nothing is a human who answers":   {`{}`, ""},
		"busy":                             {`{"final": "busy"}`, ""},
		"a rejection implies its final":    {`{"reject": {"status": 603}}`, ""},
		"any step":                         {`{"steps": [{"say": "hi"}, {"tone": {"hz": [440], "ms": 20}}]}`, ""},
		"a typo is refused":                {`{"ringms": 5}`, "unknown field"},
		"an unknown final is refused":      {`{"final": "maybe"}`, "unknown final"},
		"an unknown callee is refused":     {`{"callee": "cat"}`, "unknown callee"},
		"a rejection needs a final status": {`{"reject": {"status": 180}}`, "300 to 699"},
		"reject without status":            {`{"final": "reject"}`, "300 to 699"},
		"reject contradicts answer":        {`{"final": "answer", "reject": {"status": 486}}`, "contradicts"},
		"steps or a callee":                {`{"callee": "human", "steps": [{"say": "hi"}]}`, "not both"},
		"a step does one thing":            {`{"steps": [{"say": "hi", "pause_ms": 1}]}`, "exactly one"},
		"an empty step":                    {`{"steps": [{}]}`, "exactly one"},
		"a tone needs a frequency":         {`{"steps": [{"tone": {"hz": [], "ms": 5}}]}`, "frequency"},
		"no negative times":                {`{"ring_ms": -1}`, "negative"},
		"a transfer needs a final status":  {`{"transfer": {"status": 100}}`, "final SIP status"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parseBehaviour([]byte(c.text))
			if c.wants == "" && err != nil {
				t.Fatal(err)
			}
			if c.wants != "" && (err == nil || !strings.Contains(err.Error(), c.wants)) {
				t.Fatalf("got %v, want something with %q", err, c.wants)
			}
		})
	}
}

func TestANumberTakesOneBehaviourOrAList(t *testing.T) {
	for text, want := range map[string]int{`{}`: 1, ` [{"final": "busy"}, {}]`: 2} {
		if list, err := parseBehaviours([]byte(text)); err != nil || len(list) != want {
			t.Errorf("%s: got %d and %v, want %d", text, len(list), err, want)
		}
	}
	for _, text := range []string{`[]`, `[{"final": "maybe"}]`, `7`} {
		if _, err := parseBehaviours([]byte(text)); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func TestAnInviteIsLaidOutInTime(t *testing.T) {
	cases := map[string]struct {
		behaviour Behaviour
		want      string
	}{
		"an answer rings briefly":         {Behaviour{}, "0s ringing, 100ms answered"},
		"an answer after a long ring":     {Behaviour{TryingMS: 200, RingMS: number(3000)}, "200ms ringing, 3.2s answered"},
		"an answer without ringing":       {Behaviour{TryingMS: 800, RingMS: number(0)}, "800ms answered"},
		"busy doesn't ring":               {Behaviour{Final: finalBusy}, "0s rejected"},
		"a late rejection without ring":   {Behaviour{Reject: &Reject{Status: 603, AfterMS: 700}}, "700ms rejected"},
		"a rejection after ringing":       {Behaviour{RingMS: number(900), Reject: &Reject{Status: 480}}, "0s ringing, 900ms rejected"},
		"no answer until the timeout":     {Behaviour{Final: finalNoAnswer}, "0s ringing, 10s timed_out"},
		"no answer that doesn't ring":     {Behaviour{Final: finalNoAnswer, RingMS: number(0)}, "10s timed_out"},
		"a ring as long as the timeout":   {Behaviour{RingMS: number(10_000)}, "0s ringing, 10s timed_out"},
		"a ring just below the timeout":   {Behaviour{RingMS: number(9_999)}, "0s ringing, 9.999s answered"},
		"silence outlasts a short ring":   {Behaviour{Final: finalNoResponse}, "10s timed_out"},
		"ringing that begins too late":    {Behaviour{TryingMS: 11_000}, "10s timed_out"},
		"a rejection that comes too late": {Behaviour{Reject: &Reject{Status: 486, AfterMS: 20_000}}, "10s timed_out"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range c.behaviour.signals(10 * time.Second) {
				got = append(got, fmt.Sprintf("%v %s", s.after, s.kind))
			}
			if line := strings.Join(got, ", "); line != c.want {
				t.Fatalf("got %s, want %s", line, c.want)
			}
		})
	}
}

func TestSilenceEndsWithTheTransactionIfTheTimeoutIsLonger(t *testing.T) {
	line := Behaviour{Final: finalNoResponse}.signals(time.Minute)
	if len(line) != 1 || line[0].kind != signalNoResponse || line[0].after != timerB {
		t.Fatalf("got %v", line)
	}
}

func TestEveryCalleeHasAValidConversation(t *testing.T) {
	for callee := range conversations {
		steps := Behaviour{Callee: callee, Lines: []string{"one", "two"}, HangUpWhenDone: true}.conversation()
		for i, step := range steps {
			if err := step.validate(); err != nil {
				t.Errorf("%s, step %d: %v", callee, i, err)
			}
		}
		if last := steps[len(steps)-1]; !last.HangUp {
			t.Errorf("%s doesn't hang up when done", callee)
		}
	}
}
