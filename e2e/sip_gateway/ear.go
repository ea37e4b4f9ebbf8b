package main

import (
	"math"
	"sync"
	"time"

	"github.com/pion/opus"
	"github.com/pion/rtp"
)

const (
	hearingRate       = 16_000
	maxPacketSamples  = hearingRate * 120 / 1000 // Opus packets are 120 ms at most
	envelopeStep      = 100 * time.Millisecond
	envelopeLimit     = 6000 // ten minutes
	recordingLimit    = 120 * hearingRate
	voicedDBFS        = -50.0 // louder than comfort noise, quieter than any speech
	silentDBFS        = -100
	dtxPacketMaxBytes = 2 // Opus sends these when there is nothing to send
)

// Heard is what came to the callee's ear. Times count from the answer.
type Heard struct {
	HeardMS           int64  `json:"heard_ms"`  // audio received, silent or not
	VoicedMS          int64  `json:"voiced_ms"` // of which louder than -50 dBFS
	AgentFirstAudioMS *int64 `json:"agent_first_audio_ms"`
	AgentLastAudioMS  *int64 `json:"agent_last_audio_ms"`
	UndecodedPackets  int    `json:"undecoded_packets"`
}

// ear listens to everything that the room plays to the callee. It takes the wall clock of arrival as time, so the
// envelope shows pauses where a person would have heard them.
type ear struct {
	mu         sync.Mutex
	answeredAt time.Time
	heard      Heard
	energy     []float64 // mean squares summed for each 100 ms, with
	packets    []int     // how many packets were summed
	recording  []int16
	lastVoice  time.Time
}

func (e *ear) open(at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answeredAt = at
}

// listener decodes one track into the ear.
type listener struct {
	ear     *ear
	decoder opus.Decoder
	buffer  [maxPacketSamples]int16
}

func newListener(e *ear) (*listener, error) {
	decoder, err := opus.NewDecoderWithOutput(hearingRate, 1)
	return &listener{ear: e, decoder: decoder}, err
}

func (l *listener) packet(p *rtp.Packet, at time.Time) {
	if len(p.Payload) <= dtxPacketMaxBytes {
		return
	}
	n, err := l.decoder.DecodeToInt16(p.Payload, l.buffer[:])
	if err != nil {
		l.ear.missed()
		return
	}
	l.ear.hear(l.buffer[:n], at)
}

func (e *ear) missed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard.UndecodedPackets++
}

func (e *ear) hear(samples []int16, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.answeredAt.IsZero() || len(samples) == 0 {
		return
	}
	since := at.Sub(e.answeredAt)
	power := meanSquare(samples)
	length := int64(len(samples)) * 1000 / hearingRate
	e.heard.HeardMS += length
	if dbfs(power) > voicedDBFS {
		e.heard.VoicedMS += length
		e.lastVoice = at
		e.heard.voiced(since.Milliseconds())
	}
	if step := int(since / envelopeStep); step >= 0 && step < envelopeLimit {
		for len(e.energy) <= step {
			e.energy, e.packets = append(e.energy, 0), append(e.packets, 0)
		}
		e.energy[step] += power
		e.packets[step]++
	}
	if len(e.recording) < recordingLimit {
		e.recording = append(e.recording, samples...)
	}
}

func (h *Heard) voiced(atMS int64) {
	if h.AgentFirstAudioMS == nil {
		h.AgentFirstAudioMS = &atMS
	}
	h.AgentLastAudioMS = &atMS
}

func (e *ear) summary() Heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

// envelope is the loudness of each 100 ms since the answer, in whole dBFS.
func (e *ear) envelope() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	levels := make([]int, len(e.energy))
	for i, energy := range e.energy {
		levels[i] = silentDBFS
		if e.packets[i] > 0 {
			levels[i] = int(math.Round(dbfs(energy / float64(e.packets[i]))))
		}
	}
	return levels
}

// wave is the first two minutes as received, one packet after another: gaps of DTX are left out.
func (e *ear) wave() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return wav(e.recording, hearingRate)
}

// lastVoiceAt is zero until somebody was heard.
func (e *ear) lastVoiceAt() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lastVoice
}

func meanSquare(samples []int16) float64 {
	var sum float64
	for _, sample := range samples {
		level := float64(sample) / math.MaxInt16
		sum += level * level
	}
	return sum / float64(len(samples))
}

func dbfs(power float64) float64 { return max(silentDBFS, 10*math.Log10(power)) }
