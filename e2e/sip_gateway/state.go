package main

import (
	"fmt"
	"slices"
)

// state is where a call stands.
type state string

const (
	stateDialing    state = "dialing"
	stateRinging    state = "ringing"
	stateAutomation state = "automation" // answered, the request's own digits are being sent
	stateActive     state = "active"
	stateEnded      state = "ended"
)

var transitions = map[state][]state{
	stateDialing:    {stateRinging, stateAutomation, stateActive, stateEnded},
	stateRinging:    {stateAutomation, stateActive, stateEnded},
	stateAutomation: {stateActive, stateEnded},
	stateActive:     {stateEnded},
}

// to refuses a step that no call can take.
func (s state) to(next state) (state, error) {
	if !slices.Contains(transitions[s], next) {
		return s, fmt.Errorf("a call can't go from %s to %s", s, next)
	}
	return next, nil
}

// answered tells whether the callee has picked up and is still there.
func (s state) answered() bool { return s == stateAutomation || s == stateActive }
