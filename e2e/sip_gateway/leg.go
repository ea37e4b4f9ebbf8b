package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

const (
	mediaTimeout = 10 * time.Second
	mediaPoll    = 5 * time.Millisecond
)

// leg is a call's side in the room. Calls know only this, so that their life can be tested without a server.
type leg interface {
	ParticipantID() string
	SetStatus(status string)
	// Subscribe begins to hear the room; nothing is heard while the phone rings.
	Subscribe()
	// Heard is closed once a track of somebody else was subscribed to.
	Heard() <-chan struct{}
	Play(ctx context.Context, c clip) error
	SendDTMF(digit string) error
	// Closed is closed when the server ended this side: removed, replaced, or the room is gone.
	Closed() <-chan struct{}
	Leave(reason livekit.DisconnectReason)
}

// joinRequest is what a leg needs to enter a room.
type joinRequest struct {
	url        string
	token      string
	attributes map[string]string
	ear        *ear
	onDTMF     func(digit string)
	log        logger.Logger
}

type roomLeg struct {
	room    *lksdk.Room
	player  *player
	stop    context.CancelFunc
	closed  chan struct{}
	closing sync.Once
	heard   chan struct{}
	hearing sync.Once
	mu      sync.Mutex
	listens bool
}

// joinRoom enters as the phone and publishes its audio at once, as the real service does, since a dial tone may have
// to be heard before anybody answers.
func joinRoom(request joinRequest) (leg, error) {
	l := &roomLeg{closed: make(chan struct{}), heard: make(chan struct{})}
	room := lksdk.NewRoom(l.callbacks(request))
	room.SetLogger(request.log)
	err := room.JoinWithToken(request.url, request.token,
		lksdk.WithAutoSubscribe(false), lksdk.WithExtraAttributes(request.attributes))
	if err != nil {
		return nil, err
	}
	track, err := webrtc.NewTrackLocalStaticSample(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "phone")
	if err != nil {
		room.Disconnect()
		return nil, err
	}
	self := room.LocalParticipant
	options := &lksdk.TrackPublicationOptions{Name: self.Identity(), Source: livekit.TrackSource_MICROPHONE}
	if _, err := self.PublishTrack(track, options); err != nil {
		room.Disconnect()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.room, l.player, l.stop = room, newPlayer(track), stop
	if err := l.awaitMedia(); err != nil {
		l.Leave(livekit.DisconnectReason_UNKNOWN_REASON)
		return nil, err
	}
	go l.player.run(ctx)
	return l, nil
}

// awaitMedia waits for the way out to be open: what is said before that is lost, and a callee's first word decides
// whether it is taken for a person.
func (l *roomLeg) awaitMedia() error {
	publisher := l.room.LocalParticipant.GetPublisherPeerConnection()
	for deadline := time.Now().Add(mediaTimeout); time.Now().Before(deadline); time.Sleep(mediaPoll) {
		if publisher.ConnectionState() == webrtc.PeerConnectionStateConnected {
			return nil
		}
	}
	return errors.New("no media connection to the server")
}

func (l *roomLeg) callbacks(request joinRequest) *lksdk.RoomCallback {
	return &lksdk.RoomCallback{
		OnDisconnected: func() { l.closing.Do(func() { close(l.closed) }) },
		ParticipantCallback: lksdk.ParticipantCallback{
			OnTrackPublished: func(publication *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
				l.mu.Lock()
				defer l.mu.Unlock()
				if l.listens {
					subscribe(publication)
				}
			},
			OnTrackSubscribed: func(
				track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant,
			) {
				l.hearing.Do(func() { close(l.heard) })
				go hearTrack(track, request.ear)
			},
			OnDataPacket: func(data lksdk.DataPacket, _ lksdk.DataReceiveParams) {
				if dtmf, ok := data.(*livekit.SipDTMF); ok {
					request.onDTMF(dtmf.Digit)
				}
			},
		},
	}
}

func hearTrack(track *webrtc.TrackRemote, e *ear) {
	listener, err := newListener(e)
	if err != nil {
		e.missed()
		return
	}
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		listener.packet(packet, time.Now())
	}
}

func subscribe(publication *lksdk.RemoteTrackPublication) {
	if publication.Kind() == lksdk.TrackKindAudio {
		_ = publication.SetSubscribed(true) // fails only if it is gone already
	}
}

func (l *roomLeg) ParticipantID() string { return l.room.LocalParticipant.SID() }

func (l *roomLeg) SetStatus(status string) {
	l.room.LocalParticipant.SetAttributes(map[string]string{livekit.AttrSIPCallStatus: status})
}

func (l *roomLeg) Subscribe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listens = true
	for _, participant := range l.room.GetRemoteParticipants() {
		for _, publication := range participant.TrackPublications() {
			if remote, ok := publication.(*lksdk.RemoteTrackPublication); ok {
				subscribe(remote)
			}
		}
	}
}

func (l *roomLeg) Heard() <-chan struct{}                 { return l.heard }
func (l *roomLeg) Play(ctx context.Context, c clip) error { return l.player.play(ctx, c) }
func (l *roomLeg) Closed() <-chan struct{}                { return l.closed }

func (l *roomLeg) SendDTMF(digit string) error {
	packet := &livekit.SipDTMF{Digit: digit, Code: dtmfCode(digit)}
	return l.room.LocalParticipant.PublishDataPacket(packet, lksdk.WithDataPublishReliable(true))
}

func (l *roomLeg) Leave(reason livekit.DisconnectReason) {
	l.stop()
	l.room.DisconnectWithReason(reason)
}
