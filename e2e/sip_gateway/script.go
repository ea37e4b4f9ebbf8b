package main

import (
	"sync"
	"time"
)

// Throttle is a trunk's limit, which the carrier answers with Status before the callee ever hears of the call.
type Throttle struct {
	MaxCallsPerSecond int    `json:"max_calls_per_second,omitempty"`
	MaxConcurrent     int    `json:"max_concurrent,omitempty"`
	Status            int    `json:"status,omitempty"` // 503 by default
	Text              string `json:"text,omitempty"`
}

// Script says what each INVITE meets.
type Script struct {
	Default  Behaviour `json:"default"`
	Throttle *Throttle `json:"throttle,omitempty"`
}

// script is the Script in force, with one list of behaviours for each number that has its own.
type script struct {
	mu       sync.Mutex
	clock    clock
	rules    Script
	numbers  map[string][]Behaviour
	accepted []time.Time // INVITEs that passed the throttle in the last second
}

func newScript(c clock) *script { return &script{clock: c, numbers: map[string][]Behaviour{}} }

func (s *script) set(rules Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.accepted = rules, nil
}

func (s *script) setNumber(number string, behaviours []Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers[number] = behaviours
}

func (s *script) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.numbers, s.accepted = Script{}, map[string][]Behaviour{}, nil
}

// next picks the behaviour for one INVITE while liveCalls others are up. A list is used up one attempt at a time,
// and its last behaviour stays; a throttled INVITE uses up nothing.
func (s *script) next(number string, liveCalls int) Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refusal := s.throttled(liveCalls); refusal != nil {
		return Behaviour{Reject: refusal}
	}
	list := s.numbers[number]
	switch {
	case len(list) == 0:
		return s.rules.Default
	case len(list) > 1:
		s.numbers[number] = list[1:]
	}
	return list[0]
}

// throttled applies the limit to a rolling second: a carrier that allows 2 cps rejects the third within any 1,000 ms.
func (s *script) throttled(liveCalls int) *Reject {
	limit := s.rules.Throttle
	if limit == nil {
		return nil
	}
	now := s.clock.Now()
	for len(s.accepted) > 0 && now.Sub(s.accepted[0]) >= time.Second {
		s.accepted = s.accepted[1:]
	}
	if limit.MaxCallsPerSecond > 0 && len(s.accepted) >= limit.MaxCallsPerSecond {
		return limit.refusal("CPS limit exceeded")
	}
	if limit.MaxConcurrent > 0 && liveCalls >= limit.MaxConcurrent {
		return limit.refusal("Concurrent call limit exceeded")
	}
	s.accepted = append(s.accepted, now)
	return nil
}

func (t *Throttle) refusal(text string) *Reject {
	refusal := &Reject{Status: 503, Text: text}
	if t.Status != 0 {
		refusal.Status = t.Status
	}
	if t.Text != "" {
		refusal.Text = t.Text
	}
	return refusal
}
