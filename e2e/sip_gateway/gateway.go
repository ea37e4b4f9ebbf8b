package main

import (
	"context"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/protocol/sip"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/livekit/psrpc"
)

const (
	defaultRingingTimeout = 3 * time.Minute
	rememberedCalls       = 64 // ended calls whose sound is still at hand
)

// transferTopics is where the server looks for the gateway that has a call.
type transferTopics interface {
	RegisterTransferSIPParticipantTopic(callID string) error
	DeregisterTransferSIPParticipantTopic(callID string)
}

// gateway answers LiveKit's internal SIP requests in place of its SIP service.
type gateway struct {
	serverURL string
	apiKey    string
	apiSecret string
	log       logger.Logger
	clock     clock
	ledger    *ledger
	script    *script
	faults    *faults
	speaker   speaker
	join      func(joinRequest) (leg, error)
	topics    transferTopics
	dispatch  rpc.IOInfoClient

	mu    sync.Mutex
	calls map[string]*call
	past  []*call
}

// CreateSIPParticipant dials out. What it was asked for is written down before anything else happens.
func (g *gateway) CreateSIPParticipant(
	ctx context.Context, request *rpc.InternalCreateSIPParticipantRequest,
) (*rpc.InternalCreateSIPParticipantResponse, error) {
	mode := g.faults.take()
	if mode == faultCrashBeforeInvite {
		crash()
	}
	if err := g.ledger.add(outboundRecord(request, g.clock.Now())); err != nil {
		return nil, psrpc.NewError(psrpc.Internal, err)
	}
	switch mode {
	case faultCrashAfterInvite:
		crash()
	case faultHang:
		g.ledger.update(request.SipCallId, func(r *Record) { r.Outcome = outcomeHung })
		<-ctx.Done()
		return nil, ctx.Err()
	}
	response, err := g.place(ctx, request, mode)
	if mode == faultReplyLost {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return response, err
}

func (g *gateway) place(
	ctx context.Context, request *rpc.InternalCreateSIPParticipantRequest, mode FaultMode,
) (*rpc.InternalCreateSIPParticipantResponse, error) {
	c := g.open(request.SipCallId, request.CallTo, nil)
	c.maxLength, c.dialTone = request.MaxCallDuration.AsDuration(), request.PlayDialtone
	if err := g.enterOutbound(c, request); err != nil {
		return nil, c.fail(joinFailed(err))
	}
	response := &rpc.InternalCreateSIPParticipantResponse{
		ParticipantId:       c.leg.ParticipantID(),
		ParticipantIdentity: request.ParticipantIdentity,
		SipCallId:           request.SipCallId,
	}
	dial := func(ctx context.Context) error {
		if err := c.dial(ctx, ringingTimeout(request)); err != nil {
			return err
		}
		if mode == faultCrashAfterAnswer {
			crash()
		}
		go c.converse()
		return nil
	}
	if !request.WaitUntilAnswered {
		go func() { _ = dial(context.WithoutCancel(ctx)) }() // the room sees how it ends
		return response, nil
	}
	return response, dial(ctx)
}

func (g *gateway) enterOutbound(c *call, request *rpc.InternalCreateSIPParticipantRequest) error {
	attributes := cloned(request.ParticipantAttributes)
	attributes[livekit.AttrSIPCallStatus] = string(stateDialing)
	return g.enter(c, entry{url: request.WsUrl, token: request.Token, params: sip.SIPTokenParams{
		RoomName:              request.RoomName,
		ParticipantIdentity:   request.ParticipantIdentity,
		ParticipantName:       request.ParticipantName,
		ParticipantMetadata:   request.ParticipantMetadata,
		ParticipantAttributes: attributes,
	}})
}

// entry is a room to join, with a ready token or with what one is made from.
type entry struct {
	url    string
	token  string
	params sip.SIPTokenParams
}

// enter joins the room as the phone. An open-source server leaves URL and token to the gateway.
func (g *gateway) enter(c *call, e entry) error {
	if e.url == "" {
		e.url = g.serverURL
	}
	if e.token == "" {
		e.params.APIKey, e.params.APISecret = g.apiKey, g.apiSecret
		token, err := sip.BuildSIPToken(e.params)
		if err != nil {
			return err
		}
		e.token = token
	}
	if err := g.topics.RegisterTransferSIPParticipantTopic(c.id); err != nil {
		return err
	}
	joined, err := g.join(joinRequest{
		url: e.url, token: e.token, attributes: e.params.ParticipantAttributes,
		ear: c.ear, onDTMF: c.receiveDTMF, log: g.log,
	})
	if err != nil {
		return err
	}
	c.leg = joined
	go c.watchRoom()
	return nil
}

// open starts a call's life. Choosing its behaviour and counting it are one step, so that a limit on calls holds
// for calls that come at once.
func (g *gateway) open(id, number string, behaviour *Behaviour) *call {
	g.mu.Lock()
	defer g.mu.Unlock()
	if behaviour == nil {
		chosen := g.script.next(number, len(g.calls))
		behaviour = &chosen
	}
	c := newCall(id, *behaviour, surroundings{
		clock: g.clock, ledger: g.ledger, speaker: g.speaker, onEnd: func() { g.forget(id) },
	})
	g.calls[id] = c
	return c
}

func (g *gateway) forget(id string) {
	g.topics.DeregisterTransferSIPParticipantTopic(id)
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[id]; c != nil {
		delete(g.calls, id)
		g.past = append(g.past, c)
		g.past = g.past[max(0, len(g.past)-rememberedCalls):]
	}
}

// TransferSIPParticipant sends a REFER to the callee.
func (g *gateway) TransferSIPParticipant(
	ctx context.Context, request *rpc.InternalTransferSIPParticipantRequest,
) (*emptypb.Empty, error) {
	c := g.live(request.SipCallId)
	if c == nil {
		return nil, psrpc.NewErrorf(psrpc.NotFound, "unknown call")
	}
	return &emptypb.Empty{}, c.transfer(ctx, request.TransferTo, request.Headers)
}

// shutdown drops all calls.
func (g *gateway) shutdown() {
	for _, c := range g.liveCalls() {
		c.shutdown()
	}
}

func ringingTimeout(request *rpc.InternalCreateSIPParticipantRequest) time.Duration {
	if timeout := request.RingingTimeout.AsDuration(); timeout > 0 {
		return timeout
	}
	return defaultRingingTimeout
}
