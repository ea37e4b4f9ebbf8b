package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Final says how an INVITE ends.
type Final string

const (
	finalAnswer     Final = "answer"
	finalBusy       Final = "busy"
	finalReject     Final = "reject"
	finalNoAnswer   Final = "no_answer"   // rings until the ringing timeout cancels it
	finalNoResponse Final = "no_response" // the far end is silent: the INVITE transaction times out
)

// Callee names who picks up.
type Callee string

const (
	calleeHuman     Callee = "human"
	calleeSilent    Callee = "silent"
	calleeVoicemail Callee = "voicemail"
	calleeFax       Callee = "fax"     // answers as a fax machine: 2100 Hz CED
	calleeFaxCNG    Callee = "fax_cng" // calls as a fax machine: 1100 Hz CNG, half a second every three
	calleeScreening Callee = "screening"
)

const (
	defaultRing = 100 * time.Millisecond
	// Timer B of RFC 3261: how long a SIP stack waits for any answer to an INVITE.
	timerB = 32 * time.Second
)

// Reject is a final SIP answer other than 2xx, given AfterMS after the ringing (or at once, without ringing).
type Reject struct {
	Status  int    `json:"status"`
	Text    string `json:"text,omitempty"`
	AfterMS int    `json:"after_ms,omitempty"`
}

// Transfer is what the far end says to a REFER. Status 0 means 200.
type Transfer struct {
	Status  int    `json:"status,omitempty"`
	Text    string `json:"text,omitempty"`
	AfterMS int    `json:"after_ms,omitempty"`
}

// Digits are keys the callee presses some time after answering.
type Digits struct {
	Digits  string `json:"digits"`
	AfterMS int    `json:"after_ms,omitempty"`
}

// Behaviour is one scripted answer to one INVITE. The zero value is a human who rings briefly and says hello.
//
// Time line: TryingMS of silence, 180 Ringing for RingMS (none if 0), then Final.
type Behaviour struct {
	TryingMS int     `json:"trying_ms,omitempty"`
	RingMS   *int    `json:"ring_ms,omitempty"`
	Final    Final   `json:"final,omitempty"`
	Reject   *Reject `json:"reject,omitempty"`

	Callee           Callee   `json:"callee,omitempty"`
	Greeting         string   `json:"greeting,omitempty"`
	Lines            []string `json:"lines,omitempty"`
	PauseMS          *int     `json:"pause_ms,omitempty"`          // before each line
	RecordMS         *int     `json:"record_ms,omitempty"`         // voicemail: how long it listens after the beep
	ScreeningRefuses bool     `json:"screening_refuses,omitempty"` // the owner declines after the caller said who
	Steps            []Step   `json:"steps,omitempty"`             // instead of Callee
	HangUpWhenDone   bool     `json:"hang_up_when_done,omitempty"`

	HangUpAfterMS *int      `json:"hang_up_after_ms,omitempty"` // a clean BYE this long after the answer
	DropAfterMS   *int      `json:"drop_after_ms,omitempty"`    // the media dies this long after the answer
	DTMF          *Digits   `json:"dtmf,omitempty"`
	Transfer      *Transfer `json:"transfer,omitempty"`

	PatienceMS *int `json:"patience_ms,omitempty"` // inbound: the caller gives up if nobody answers
}

// parseBehaviour reads one behaviour and refuses what it doesn't know: a typo must fail the test that made it.
func parseBehaviour(text []byte) (Behaviour, error) {
	var b Behaviour
	if err := decodeStrictly(text, &b); err != nil {
		return b, err
	}
	return b, b.validate()
}

// parseBehaviours reads one behaviour or a list of them, one per attempt.
func parseBehaviours(text []byte) ([]Behaviour, error) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '[' {
		b, err := parseBehaviour(text)
		return []Behaviour{b}, err
	}
	var list []Behaviour
	if err := decodeStrictly(text, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("a list of behaviours needs at least one")
	}
	for i, b := range list {
		if err := b.validate(); err != nil {
			return nil, fmt.Errorf("behaviour %d: %w", i, err)
		}
	}
	return list, nil
}

func decodeStrictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func (b Behaviour) validate() error {
	switch b.final() {
	case finalAnswer, finalBusy, finalNoAnswer, finalNoResponse:
	case finalReject:
		if b.Reject == nil || b.Reject.Status < 300 || b.Reject.Status > 699 {
			return errors.New("reject needs a status of 300 to 699")
		}
	default:
		return fmt.Errorf("unknown final %q", b.Final)
	}
	if b.Reject != nil && b.final() != finalReject {
		return fmt.Errorf("reject contradicts final %q", b.Final)
	}
	if len(b.Steps) > 0 && b.Callee != "" {
		return errors.New("give steps or a callee, not both")
	}
	for i, step := range b.Steps {
		if err := step.validate(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	if _, known := conversations[b.callee()]; !known {
		return fmt.Errorf("unknown callee %q", b.Callee)
	}
	return b.validateTimes()
}

func (b Behaviour) validateTimes() error {
	times := []*int{&b.TryingMS, b.RingMS, b.PauseMS, b.RecordMS, b.HangUpAfterMS, b.DropAfterMS, b.PatienceMS}
	for _, ms := range times {
		if ms != nil && *ms < 0 {
			return errors.New("times can't be negative")
		}
	}
	if t := b.Transfer; t != nil && t.Status != 0 && (t.Status < 200 || t.Status > 699) {
		return errors.New("transfer needs a final SIP status")
	}
	return nil
}

func (b Behaviour) final() Final {
	switch {
	case b.Final != "":
		return b.Final
	case b.Reject != nil:
		return finalReject
	default:
		return finalAnswer
	}
}

func (b Behaviour) callee() Callee {
	if b.Callee == "" {
		return calleeHuman
	}
	return b.Callee
}
