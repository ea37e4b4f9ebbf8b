package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/protocol/sip"
)

const (
	dispatchTimeout = 5 * time.Second
	defaultPatience = 30 * time.Second
)

// InboundRequest is a call that comes in from the carrier.
type InboundRequest struct {
	From      string            `json:"from"`
	To        string            `json:"to"`
	SourceIP  string            `json:"source_ip,omitempty"`
	Pin       string            `json:"pin,omitempty"`
	Username  string            `json:"username,omitempty"`
	Password  string            `json:"password,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Behaviour Behaviour         `json:"behaviour,omitzero"` // of the caller, once somebody answers
}

func parseInbound(text []byte) (InboundRequest, error) {
	request := InboundRequest{SourceIP: "127.0.0.1"}
	if err := decodeStrictly(text, &request); err != nil {
		return request, err
	}
	if request.From == "" || request.To == "" {
		return request, errors.New("an inbound call needs from and to")
	}
	return request, request.Behaviour.validate()
}

// receive asks the server where the call belongs and joins it there. It returns when the phone rings in the room, or
// is refused; the answer comes later, when somebody in the room can be heard.
func (g *gateway) receive(ctx context.Context, request InboundRequest) (string, error) {
	id := sip.NewCallID()
	record := Record{
		ID: id, Direction: inbound, Outcome: outcomePending, AskedAt: g.clock.Now(),
		FromNumber: request.From, CallTo: request.To, Headers: request.Headers,
	}
	if err := g.ledger.add(record); err != nil {
		return "", err
	}
	c := g.open(id, request.To, &request.Behaviour)
	place, refusal := g.whereTo(ctx, id, request)
	if refusal != nil {
		_ = c.fail(*refusal) // the record tells
		return id, nil
	}
	g.ledger.update(id, func(r *Record) {
		r.TrunkID, r.RuleID, r.Room = place.SipTrunkId, place.SipDispatchRuleId, place.RoomName
		r.ParticipantIdentity, r.ParticipantName = place.ParticipantIdentity, place.ParticipantName
		r.Attributes = place.ParticipantAttributes
		r.RingingTimeoutMS = place.RingingTimeout.AsDuration().Milliseconds()
	})
	c.maxLength = place.MaxCallDuration.AsDuration()
	if err := g.enterInbound(c, request, place); err != nil {
		_ = c.fail(joinFailed(err))
		return id, nil
	}
	c.ring()
	c.leg.Subscribe()
	go g.awaitAgent(c, place.RingingTimeout.AsDuration())
	return id, nil
}

// whereTo authenticates the call at its trunk and evaluates the dispatch rules, as the real service does.
func (g *gateway) whereTo(
	ctx context.Context, id string, request InboundRequest,
) (*rpc.EvaluateSIPDispatchRulesResponse, *failure) {
	ctx, cancel := context.WithTimeout(ctx, dispatchTimeout)
	defer cancel()
	from := &livekit.SIPUri{User: request.From, Host: request.SourceIP}
	to := &livekit.SIPUri{User: request.To, Host: "127.0.0.1"}
	sipCall := &rpc.SIPCall{LkCallId: id, SipCallId: id, SourceIp: request.SourceIP, From: from, To: to, Address: to}
	trunk, err := g.dispatch.GetSIPTrunkAuthentication(ctx, &rpc.GetSIPTrunkAuthenticationRequest{Call: sipCall})
	switch {
	case err != nil:
		return nil, refused(503, err.Error())
	case trunk.Drop:
		return nil, refused(0, "dropped")
	case trunk.Username != request.Username || trunk.Password != request.Password:
		return nil, refused(403, "wrong credentials")
	}
	place, err := g.dispatch.EvaluateSIPDispatchRules(ctx, &rpc.EvaluateSIPDispatchRulesRequest{
		Call: sipCall, SipTrunkId: trunk.SipTrunkId, Pin: request.Pin, NoPin: request.Pin == "",
	})
	if err != nil {
		return nil, refused(503, err.Error())
	}
	switch place.Result {
	case rpc.SIPDispatchResult_ACCEPT:
		return place, nil
	case rpc.SIPDispatchResult_REQUEST_PIN:
		return nil, refused(0, "the rule wants a PIN")
	case rpc.SIPDispatchResult_DROP:
		return nil, refused(0, "no rule matched: dropped")
	default:
		return nil, refused(404, "does not match any dispatch rule")
	}
}

func refused(status int, text string) *failure {
	return &failure{
		outcome: outcomeRejected,
		sip:     Reject{Status: status, Text: text},
		err:     fmt.Errorf("inbound call refused: %d %s", status, text),
	}
}

func (g *gateway) enterInbound(
	c *call, request InboundRequest, place *rpc.EvaluateSIPDispatchRulesResponse,
) error {
	attributes := cloned(place.ParticipantAttributes)
	for header, attribute := range place.HeadersToAttributes {
		if value, sent := request.Headers[header]; sent {
			attributes[attribute] = value
		}
	}
	attributes[livekit.AttrSIPCallStatus] = string(stateRinging)
	return g.enter(c, entry{url: place.WsUrl, token: place.Token, params: sip.SIPTokenParams{
		RoomName:              place.RoomName,
		ParticipantIdentity:   place.ParticipantIdentity,
		ParticipantName:       place.ParticipantName,
		ParticipantMetadata:   place.ParticipantMetadata,
		ParticipantAttributes: attributes,
		RoomPreset:            place.RoomPreset,
		RoomConfig:            place.RoomConfig,
	}})
}

// awaitAgent keeps the caller waiting until a track of the room can be heard: only then is the call answered.
func (g *gateway) awaitAgent(c *call, ringingTimeout time.Duration) {
	if ringingTimeout <= 0 {
		ringingTimeout = defaultRingingTimeout
	}
	patience := defaultPatience
	if d, set := optionalMilliseconds(c.behaviour.PatienceMS); set {
		patience = d
	}
	tired := make(chan struct{})
	c.after(min(patience, ringingTimeout), func() { close(tired) })
	select {
	case <-c.leg.Heard():
		if c.answer() == nil {
			c.converse()
		}
	case <-tired:
		_ = c.fail(canceled(outcomeNoAnswer))
	case <-c.ctx.Done():
		_ = c.fail(canceled(outcomeCanceled))
	}
}
