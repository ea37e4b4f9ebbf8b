package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/livekit/protocol/rpc"
)

const (
	outbound = "outbound"
	inbound  = "inbound"
)

// outboundRecord is an INVITE as it was asked for.
func outboundRecord(request *rpc.InternalCreateSIPParticipantRequest, now time.Time) Record {
	return Record{
		ID: request.SipCallId, Direction: outbound, Outcome: outcomePending, AskedAt: now,
		TrunkID: request.SipTrunkId, Address: request.Address,
		FromNumber: request.Number, CallTo: request.CallTo,
		Room:                request.RoomName,
		ParticipantIdentity: request.ParticipantIdentity, ParticipantName: request.ParticipantName,
		Attributes: maps.Clone(request.ParticipantAttributes), Headers: request.Headers,
		RingingTimeoutMS:  ringingTimeout(request).Milliseconds(),
		MaxCallDurationMS: request.MaxCallDuration.AsDuration().Milliseconds(),
		WaitUntilAnswered: request.WaitUntilAnswered, DTMFOnAnswer: request.Dtmf, DisplayName: request.GetDisplayName(),
	}
}

func (g *gateway) live(id string) *call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[id]
}

func (g *gateway) liveCalls() []*call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.calls), func(a, b *call) int { return strings.Compare(a.id, b.id) })
}

// remembered finds a call that is up or ended not long ago.
func (g *gateway) remembered(id string) *call {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[id]; c != nil {
		return c
	}
	for _, c := range g.past {
		if c.id == id {
			return c
		}
	}
	return nil
}

// view is a record with what a live call has heard until now.
func (g *gateway) view(record Record) Record {
	if c := g.live(record.ID); c != nil {
		record.Heard = c.ear.summary()
	}
	return record
}
