package main

import (
	"bytes"
	"fmt"
	"math"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	packetLength = 20 * time.Millisecond
	toneRate     = 48_000
	toneLevel    = 0.5 // of full scale, for all the sines together
	toneRamp     = 5 * time.Millisecond
)

// clip is encoded audio, one Opus packet for each 20 ms.
type clip [][]byte

func (c clip) length() time.Duration { return time.Duration(len(c)) * packetLength }

// voices makes clips and keeps them: a campaign's callees all say the same few things.
type voices struct {
	mu    sync.Mutex
	clips map[string]func() (clip, error)
}

func newVoices() *voices { return &voices{clips: map[string]func() (clip, error){}} }

// requireTools names what is missing before any call needs it.
func requireTools() error {
	for _, tool := range []string{"espeak-ng", "opusenc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed (Debian packages espeak-ng, opus-tools): %w", tool, err)
		}
	}
	return nil
}

func (v *voices) speech(text string) (clip, error) {
	return v.cached("say "+text, func() (clip, error) {
		speak := exec.Command("espeak-ng", "--stdout", "-s", "160", "--stdin")
		speak.Stdin = strings.NewReader(text)
		wave, err := run(speak)
		if err != nil {
			return nil, err
		}
		return encode(wave)
	})
}

func (v *voices) tone(t Tone) (clip, error) {
	return v.cached(fmt.Sprintf("tone %v %d", t.Hz, t.MS), func() (clip, error) {
		return encode(wav(sines(t), toneRate))
	})
}

// cached makes a clip once, also when many calls want it at the same moment.
func (v *voices) cached(key string, produce func() (clip, error)) (clip, error) {
	v.mu.Lock()
	get := v.clips[key]
	if get == nil {
		get = sync.OnceValues(produce)
		v.clips[key] = get
	}
	v.mu.Unlock()
	return get()
}

func encode(wave []byte) (clip, error) {
	opusenc := exec.Command("opusenc", "--quiet", "--bitrate", "32", "--framesize", "20", "-", "-")
	opusenc.Stdin = bytes.NewReader(wave)
	file, err := run(opusenc)
	if err != nil {
		return nil, err
	}
	return oggPackets(file)
}

func run(command *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command.Path, err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// sines adds up a tone's sine waves, with short ramps so that its ends don't click.
func sines(t Tone) []int16 {
	samples := make([]int16, toneRate*t.MS/1000)
	ramp := float64(toneRate) * toneRamp.Seconds()
	for i := range samples {
		var sum float64
		for _, hz := range t.Hz {
			sum += math.Sin(2 * math.Pi * hz * float64(i) / toneRate)
		}
		edge := min(1, float64(i)/ramp, float64(len(samples)-1-i)/ramp)
		samples[i] = int16(math.MaxInt16 * toneLevel * edge * sum / float64(len(t.Hz)))
	}
	return samples
}
