package main

import (
	"errors"
	"fmt"
	"time"
)

const (
	beepHz       = 1000
	cedHz        = 2100 // ITU-T T.30 called station identification
	cngHz        = 1100 // ITU-T T.30 calling tone
	ringbackHz   = 425  // ETSI ringing tone
	beepMS       = 400
	ringbackOnMS = 1000
)

// Tone is one or more sine waves together.
type Tone struct {
	Hz []float64 `json:"hz"`
	MS int       `json:"ms"`
}

// WaitForAgent lets the callee listen until the other side has spoken and fallen silent.
type WaitForAgent struct {
	StartWithinMS int `json:"start_within_ms"`
	QuietMS       int `json:"quiet_ms"`
}

// Step is one thing the callee does after answering: exactly one field is set.
type Step struct {
	Say          string        `json:"say,omitempty"`
	PauseMS      int           `json:"pause_ms,omitempty"`
	Tone         *Tone         `json:"tone,omitempty"`
	DTMF         string        `json:"dtmf,omitempty"`
	WaitForAgent *WaitForAgent `json:"wait_for_agent,omitempty"`
	HangUp       bool          `json:"hang_up,omitempty"`
}

func (s Step) validate() error {
	set := 0
	for _, given := range []bool{s.Say != "", s.PauseMS != 0, s.Tone != nil, s.DTMF != "", s.WaitForAgent != nil, s.HangUp} {
		if given {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("a step does exactly one thing, this one %d", set)
	}
	if s.PauseMS < 0 || (s.Tone != nil && (s.Tone.MS <= 0 || len(s.Tone.Hz) == 0)) {
		return errors.New("a pause or tone needs a length, a tone also a frequency")
	}
	return nil
}

// conversations spells each callee out as steps.
var conversations = map[Callee]func(Behaviour) []Step{
	calleeHuman:     Behaviour.humanSteps,
	calleeSilent:    func(Behaviour) []Step { return nil },
	calleeVoicemail: Behaviour.voicemailSteps,
	calleeFax:       func(Behaviour) []Step { return []Step{{PauseMS: 200}, tone(cedHz, 3000), {PauseMS: 500}} },
	calleeFaxCNG:    func(Behaviour) []Step { return repeat(8, tone(cngHz, 500), Step{PauseMS: 3000}) },
	calleeScreening: Behaviour.screeningSteps,
}

// conversation is what the callee does after the answer, in order.
func (b Behaviour) conversation() []Step {
	steps := b.Steps
	if len(steps) == 0 {
		steps = conversations[b.callee()](b)
	}
	if b.HangUpWhenDone {
		steps = append(steps[:len(steps):len(steps)], Step{HangUp: true})
	}
	return steps
}

func (b Behaviour) humanSteps() []Step {
	steps := []Step{{PauseMS: 300}, {Say: b.greetingOr("Hello?")}}
	return append(steps, b.lineSteps()...)
}

func (b Behaviour) lineSteps() []Step {
	var steps []Step
	for _, line := range b.Lines {
		if pause := orDefault(b.PauseMS, 1000); pause > 0 {
			steps = append(steps, Step{PauseMS: pause})
		}
		steps = append(steps, Step{Say: line})
	}
	return steps
}

func (b Behaviour) voicemailSteps() []Step {
	greeting := b.greetingOr("You have reached my voicemail. Please leave a message after the tone.")
	steps := []Step{{PauseMS: 400}, {Say: greeting}, {PauseMS: 300}, tone(beepHz, beepMS)}
	if record := orDefault(b.RecordMS, 20_000); record > 0 {
		steps = append(steps, Step{PauseMS: record})
	}
	return append(steps, Step{HangUp: true})
}

// screeningSteps is a phone that answers for its owner, as iOS and Android do: the call is up, nobody is there yet.
func (b Behaviour) screeningSteps() []Step {
	prompt := b.greetingOr("Hi. Before I try to connect you, please state your name and reason for calling.")
	steps := []Step{
		{PauseMS: 300},
		{Say: prompt},
		{WaitForAgent: &WaitForAgent{StartWithinMS: 10_000, QuietMS: 1500}},
	}
	if b.ScreeningRefuses {
		return append(steps, Step{Say: "This person can't talk right now. Goodbye."}, Step{HangUp: true})
	}
	steps = append(steps, Step{Say: "Stay on the line."}, tone(ringbackHz, ringbackOnMS), Step{PauseMS: 1000})
	return append(append(steps, Step{Say: "Hello?"}), b.lineSteps()...)
}

func (b Behaviour) greetingOr(text string) string {
	if b.Greeting != "" {
		return b.Greeting
	}
	return text
}

func tone(hz float64, ms int) Step { return Step{Tone: &Tone{Hz: []float64{hz}, MS: ms}} }

func repeat(times int, steps ...Step) []Step {
	var all []Step
	for range times {
		all = append(all, steps...)
	}
	return all
}

func orDefault(value *int, standard int) int {
	if value == nil {
		return standard
	}
	return *value
}

func optionalMilliseconds(value *int) (time.Duration, bool) {
	if value == nil {
		return 0, false
	}
	return milliseconds(*value), true
}
