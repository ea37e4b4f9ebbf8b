package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
)

var errEnded = errors.New("the call ended")

// speaker makes the sounds of callees.
type speaker interface {
	speech(text string) (clip, error)
	tone(t Tone) (clip, error)
}

// surroundings are what a call reaches the world through.
type surroundings struct {
	clock   clock
	ledger  *ledger
	speaker speaker
	onEnd   func()
}

// call is one phone call from the INVITE to the BYE. Its own context ends with it.
type call struct {
	surroundings
	id        string
	behaviour Behaviour
	ear       *ear
	leg       leg           // nil until the room was joined
	maxLength time.Duration // 0 is unlimited
	dialTone  bool          // the room hears it ring

	mu     sync.Mutex
	state  state
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func newCall(id string, behaviour Behaviour, around surroundings) *call {
	c := &call{surroundings: around, id: id, behaviour: behaviour, ear: &ear{}, state: stateDialing}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// move takes the call one state on, and tells whether that was possible.
func (c *call) move(to state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, err := c.state.to(to)
	c.state = next
	return err == nil
}

func (c *call) current() state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// dial plays the INVITE's time line. It returns nil once the callee has answered.
func (c *call) dial(ctx context.Context, ringingTimeout time.Duration) error {
	ctx, cancel := c.during(ctx)
	defer cancel()
	if c.dialTone {
		go c.playRingback(ctx)
	}
	invitedAt, provisionals := c.clock.Now(), 0
	for _, s := range c.behaviour.signals(ringingTimeout) {
		if c.clock.Sleep(ctx, s.after-c.clock.Now().Sub(invitedAt)) != nil {
			return c.fail(interrupted(ctx))
		}
		switch s.kind {
		case signalRinging:
			provisionals++
			c.ring()
		case signalAnswered:
			return c.answer()
		case signalRejected:
			return c.fail(rejected(s.sip))
		case signalTimedOut:
			return c.fail(canceled(outcomeNoAnswer))
		case signalNoResponse:
			return c.fail(noResponse(provisionals))
		}
	}
	return c.fail(noResponse(provisionals))
}

// during is a context that ends with the request or with the call, whichever is first.
func (c *call) during(request context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	stop := context.AfterFunc(request, func() { cancel(context.Cause(request)) })
	return ctx, func() { stop(); cancel(nil) }
}

func (c *call) ring() {
	if !c.move(stateRinging) {
		return
	}
	now := c.clock.Now()
	c.ledger.update(c.id, func(r *Record) { r.RingingAt = &now })
	c.leg.SetStatus(string(stateRinging))
}

// answer opens the line both ways. Digits that the request asked to send on answer go first.
func (c *call) answer() error {
	record, _ := c.ledger.get(c.id)
	digits := record.DTMFOnAnswer
	if digits != "" && c.move(stateAutomation) {
		c.leg.SetStatus(string(stateAutomation))
	}
	if !c.move(stateActive) {
		return c.fail(canceled(outcomeCanceled))
	}
	now := c.clock.Now()
	c.ear.open(now)
	c.ledger.update(c.id, func(r *Record) { r.AnsweredAt, r.Outcome = &now, outcomeAnswered })
	for _, digit := range digits {
		c.receiveDTMF(string(digit))
	}
	c.leg.SetStatus(string(stateActive))
	c.leg.Subscribe()
	c.limit()
	return nil
}

// limit sets the timers that end an answered call.
func (c *call) limit() {
	if d, set := optionalMilliseconds(c.behaviour.HangUpAfterMS); set {
		c.after(d, func() { c.end(endedByCallee) })
	}
	if d, set := optionalMilliseconds(c.behaviour.DropAfterMS); set {
		c.after(d, func() { c.end(endedByDrop) })
	}
	if c.maxLength > 0 {
		c.after(c.maxLength, func() { c.end(endedByMaxDuration) })
	}
	if d := c.behaviour.DTMF; d != nil {
		c.after(milliseconds(d.AfterMS), func() { _ = c.press(d.Digits) })
	}
}

// after runs f later, unless the call ends first.
func (c *call) after(d time.Duration, f func()) {
	stop := c.clock.AfterFunc(d, f)
	context.AfterFunc(c.ctx, stop)
}

// fail closes a call that was never answered. The room sees no "hangup", only the reason: so does the real service.
func (c *call) fail(f failure) error {
	now := c.clock.Now()
	c.ledger.update(c.id, func(r *Record) {
		r.Outcome, r.EndedAt, r.Error = f.outcome, &now, f.err.Error()
		r.StatusCode, r.StatusText = f.sip.Status, f.sip.Text
	})
	c.close(f.reason)
	return f.err
}

var endings = map[EndedBy]struct {
	saysHangUp bool
	reason     livekit.DisconnectReason
}{
	endedByCallee:      {true, livekit.DisconnectReason_CLIENT_INITIATED},
	endedByTransfer:    {true, livekit.DisconnectReason_CLIENT_INITIATED},
	endedByMaxDuration: {true, livekit.DisconnectReason_CLIENT_INITIATED},
	endedByDrop:        {false, livekit.DisconnectReason_UNKNOWN_REASON},
	endedByRoom:        {false, livekit.DisconnectReason_UNKNOWN_REASON},
	endedByShutdown:    {false, livekit.DisconnectReason_UNKNOWN_REASON},
}

// end closes an answered call, once. It tells whether this was the one.
func (c *call) end(by EndedBy) bool {
	if !c.current().answered() || !c.move(stateEnded) {
		return false
	}
	if endings[by].saysHangUp {
		c.leg.SetStatus("hangup")
	}
	now := c.clock.Now()
	heard := c.ear.summary()
	c.ledger.update(c.id, func(r *Record) { r.EndedAt, r.EndedBy, r.Heard = &now, by, heard })
	c.close(endings[by].reason)
	return true
}

func (c *call) close(reason livekit.DisconnectReason) {
	c.move(stateEnded)
	c.cancel(errEnded)
	if c.leg != nil {
		c.leg.Leave(reason)
	}
	c.onEnd()
}

// watchRoom ends the call when the server ends its side of the room.
func (c *call) watchRoom() {
	select {
	case <-c.leg.Closed():
		if !c.end(endedByRoom) {
			c.cancel(errEnded) // still ringing: the INVITE is canceled
		}
	case <-c.ctx.Done():
	}
}

// shutdown drops the call because the gateway goes.
func (c *call) shutdown() {
	if !c.end(endedByShutdown) {
		c.cancel(errEnded)
	}
}
