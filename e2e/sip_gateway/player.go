package main

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4/pkg/media"
)

// opusSilence is 20 ms of nothing, as a decoder understands it without any packet before it.
var opusSilence = []byte{0xf8, 0xff, 0xfe}

type sampleWriter interface {
	WriteSample(sample media.Sample) error
}

// player keeps a phone line's audio going: clips in the order they come, silence between them. The line never stops,
// because a listener's jitter buffer would take a pause for network delay and play all that follows late.
type player struct {
	track sampleWriter
	queue chan playing
}

type playing struct {
	ctx  context.Context
	left clip
	done chan struct{}
}

func newPlayer(track sampleWriter) *player {
	return &player{track: track, queue: make(chan playing)}
}

// play returns when the clip was heard, or with ctx's cause as soon as ctx ends.
func (p *player) play(ctx context.Context, c clip) error {
	item := playing{ctx: ctx, left: c, done: make(chan struct{})}
	select {
	case p.queue <- item:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-item.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run sends one packet every 20 ms until ctx ends. It keeps to the time line and not to the interval, so that a late
// wake-up is caught up with.
func (p *player) run(ctx context.Context) {
	var current playing
	for next := time.Now(); ; next = next.Add(packetLength) {
		if (wallClock{}).Sleep(ctx, time.Until(next)) != nil {
			return
		}
		if current.done == nil {
			select {
			case current = <-p.queue:
			default:
			}
		}
		packet := current.take()
		if p.track.WriteSample(media.Sample{Data: packet, Duration: packetLength}) != nil {
			return
		}
	}
}

func (c *playing) take() []byte {
	if c.done == nil {
		return opusSilence
	}
	if len(c.left) == 0 || c.ctx.Err() != nil {
		close(c.done)
		*c = playing{}
		return opusSilence
	}
	packet := c.left[0]
	c.left = c.left[1:]
	return packet
}
