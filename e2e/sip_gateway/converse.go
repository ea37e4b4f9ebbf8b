package main

import (
	"context"
	"errors"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/psrpc"
)

const (
	listenStep = 20 * time.Millisecond
	digitGap   = 100 * time.Millisecond
	// The pause of the ETSI ringing tone.
	ringbackOff = 4 * time.Second
	// After a REFER succeeded the far end has this long to hang up itself.
	referByeTimeout = time.Second
)

// converse does what the callee does after answering, until that is done or the call ends.
func (c *call) converse() {
	for _, step := range c.behaviour.conversation() {
		if err := c.perform(step); err != nil {
			if c.ctx.Err() == nil {
				c.note("failed: " + err.Error())
			}
			return
		}
	}
}

func (c *call) perform(step Step) error {
	switch {
	case step.Say != "":
		return c.say(step.Say)
	case step.Tone != nil:
		return c.sound(*step.Tone)
	case step.DTMF != "":
		return c.press(step.DTMF)
	case step.WaitForAgent != nil:
		return c.waitForAgent(*step.WaitForAgent)
	case step.HangUp:
		c.end(endedByCallee)
		return errEnded
	default:
		return c.clock.Sleep(c.ctx, milliseconds(step.PauseMS))
	}
}

func (c *call) say(text string) error {
	speech, err := c.speaker.speech(text)
	if err != nil {
		return err
	}
	c.note("say " + text)
	return c.leg.Play(c.ctx, speech)
}

func (c *call) sound(t Tone) error {
	sound, err := c.speaker.tone(t)
	if err != nil {
		return err
	}
	c.note("tone")
	return c.leg.Play(c.ctx, sound)
}

// playRingback lets the room hear the phone ring until ctx ends.
func (c *call) playRingback(ctx context.Context) {
	ring, err := c.speaker.tone(Tone{Hz: []float64{ringbackHz}, MS: ringbackOnMS})
	for err == nil {
		if err = c.leg.Play(ctx, ring); err == nil {
			err = c.clock.Sleep(ctx, ringbackOff)
		}
	}
}

// press sends DTMF into the room, one key after another.
func (c *call) press(digits string) error {
	for _, key := range digits {
		if err := c.leg.SendDTMF(string(key)); err != nil {
			return err
		}
		now := c.clock.Now()
		c.ledger.update(c.id, func(r *Record) {
			r.DTMFSent = append(r.DTMFSent, Digit{Digit: string(key), AtMS: r.sinceAnswer(now)})
		})
		if err := c.clock.Sleep(c.ctx, digitGap); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) receiveDTMF(digit string) {
	now := c.clock.Now()
	c.ledger.update(c.id, func(r *Record) {
		r.DTMFReceived = append(r.DTMFReceived, Digit{Digit: digit, AtMS: r.sinceAnswer(now)})
	})
}

// waitForAgent listens until somebody has spoken and then been quiet, or never began in time.
func (c *call) waitForAgent(wait WaitForAgent) error {
	start := c.clock.Now()
	for {
		if err := c.clock.Sleep(c.ctx, listenStep); err != nil {
			return err
		}
		now, voice := c.clock.Now(), c.ear.lastVoiceAt()
		spoke := voice.After(start)
		switch {
		case spoke && now.Sub(voice) >= milliseconds(wait.QuietMS):
			c.note("the agent spoke")
			return nil
		case !spoke && now.Sub(start) >= milliseconds(wait.StartWithinMS):
			c.note("the agent was silent")
			return nil
		}
	}
}

func (c *call) note(what string) {
	now := c.clock.Now()
	c.ledger.update(c.id, func(r *Record) {
		r.Events = append(r.Events, Event{AtMS: r.sinceAnswer(now), What: what})
	})
}

// transfer answers a REFER as the behaviour says, and lets go of the call if it succeeded.
func (c *call) transfer(ctx context.Context, to string, headers map[string]string) error {
	if !c.current().answered() {
		return psrpc.NewErrorf(psrpc.FailedPrecondition, "can't transfer non established call")
	}
	var answer Transfer
	if c.behaviour.Transfer != nil {
		answer = *c.behaviour.Transfer
	}
	if answer.Status == 0 {
		answer.Status = 200
	}
	refer := TransferRecord{To: to, Headers: headers, At: c.clock.Now(), StatusCode: answer.Status}
	c.ledger.update(c.id, func(r *Record) { r.Transfers = append(r.Transfers, refer) })
	ctx, cancel := c.during(ctx)
	defer cancel()
	if err := c.clock.Sleep(ctx, milliseconds(answer.AfterMS)); errors.Is(err, errEnded) {
		return nil // the REFER was accepted, and the call ended before more was known
	} else if err != nil {
		return psrpc.NewErrorf(psrpc.Canceled, "refer canceled")
	}
	if answer.Status >= 300 {
		return transferFailed(answer)
	}
	c.after(referByeTimeout, func() { c.end(endedByTransfer) })
	return nil
}

func transferFailed(answer Transfer) error {
	status := &livekit.SIPStatus{Code: livekit.SIPStatusCode(answer.Status), Status: answer.Text}
	code, _ := psrpc.GetErrorCode(status)
	return psrpc.NewError(code, status, status)
}
