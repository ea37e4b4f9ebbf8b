package main

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
)

// virtualClock passes time only while somebody sleeps, and runs timers on the way.
type virtualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*virtualTimer
}

type virtualTimer struct {
	at      time.Time
	run     func()
	stopped bool
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func newVirtualClock() *virtualClock { return &virtualClock{now: noon} }

func (c *virtualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *virtualClock) Sleep(ctx context.Context, d time.Duration) error {
	end := c.Now().Add(max(d, 0))
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		timer := c.nextTimer(end)
		if timer == nil {
			return nil
		}
		timer.run()
	}
}

// nextTimer moves time to the next timer before end, or to end.
func (c *virtualClock) nextTimer(end time.Time) *virtualTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timers = slices.DeleteFunc(c.timers, func(t *virtualTimer) bool { return t.stopped })
	slices.SortStableFunc(c.timers, func(a, b *virtualTimer) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	if len(c.timers) == 0 || c.timers[0].at.After(end) {
		c.now = end
		return nil
	}
	timer := c.timers[0]
	c.timers = c.timers[1:]
	c.now = timer.at
	return timer
}

func (c *virtualClock) AfterFunc(d time.Duration, f func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &virtualTimer{at: c.now.Add(d), run: f}
	c.timers = append(c.timers, timer)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		timer.stopped = true
	}
}

// fakeLeg notes what a room would have seen.
type fakeLeg struct {
	clock  clock
	closed chan struct{}
	seen   []string
}

func (l *fakeLeg) ParticipantID() string   { return "PA_fake" }
func (l *fakeLeg) SetStatus(status string) { l.seen = append(l.seen, status) }
func (l *fakeLeg) Subscribe()              { l.seen = append(l.seen, "subscribed") }
func (l *fakeLeg) Heard() <-chan struct{}  { return nil }
func (l *fakeLeg) Closed() <-chan struct{} { return l.closed }

func (l *fakeLeg) Play(ctx context.Context, c clip) error { return l.clock.Sleep(ctx, c.length()) }

func (l *fakeLeg) SendDTMF(digit string) error {
	l.seen = append(l.seen, "key "+digit)
	return nil
}

func (l *fakeLeg) Leave(reason livekit.DisconnectReason) {
	l.seen = append(l.seen, "left "+reason.String())
}

// fakeSpeaker says everything in one second.
type fakeSpeaker struct{}

func (fakeSpeaker) speech(string) (clip, error) { return make(clip, 50), nil }
func (fakeSpeaker) tone(t Tone) (clip, error)   { return make(clip, t.MS/20), nil }

type fixture struct {
	call  *call
	leg   *fakeLeg
	clock *virtualClock
}

func newFixture(t *testing.T, b Behaviour) *fixture {
	t.Helper()
	time := newVirtualClock()
	written, err := openLedger("")
	if err != nil {
		t.Fatal(err)
	}
	if err := written.add(Record{ID: "SCL_1", Direction: outbound, Outcome: outcomePending, AskedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	leg := &fakeLeg{clock: time, closed: make(chan struct{})}
	c := newCall("SCL_1", b, surroundings{clock: time, ledger: written, speaker: fakeSpeaker{}, onEnd: func() {}})
	c.leg = leg
	return &fixture{call: c, leg: leg, clock: time}
}

func (f *fixture) record() Record {
	record, _ := f.call.ledger.get(f.call.id)
	return record
}

func number(n int) *int { return &n }
