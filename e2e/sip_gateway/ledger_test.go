package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheLogSurvivesAndTheOrderGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invites.jsonl")
	first, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if err := first.add(Record{ID: id, Direction: outbound}); err != nil {
			t.Fatal(err)
		}
	}
	first.update("a", func(r *Record) { r.Outcome = outcomeAnswered })
	first.update("unknown", func(r *Record) { t.Fatal("there is no such call") })
	tear(t, path)

	second, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.add(Record{ID: "c", Direction: outbound}); err != nil {
		t.Fatal(err)
	}
	if err := second.add(Record{ID: "c", Direction: outbound}); err == nil {
		t.Fatal("one call can't be asked for twice")
	}
	got := second.list(outbound, 0)
	if len(got) != 3 || got[0].Outcome != outcomeAnswered || got[2].ID != "c" || got[2].Seq != 3 {
		t.Fatalf("got %v", got)
	}
	if since := second.list(outbound, 2); len(since) != 1 {
		t.Fatalf("got %v", since)
	}
}

// tear leaves half a line, as a kill in the middle of a write would.
func tear(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("{\"id\": \"x\n"); err != nil {
		t.Fatal(err)
	}
}

func TestOpusPacketsComeOutOfOggPages(t *testing.T) {
	long := make([]byte, 300)
	page := func(lacing []byte, body []byte) []byte {
		out := append([]byte("OggS"), make([]byte, 22)...)
		return append(append(append(out, byte(len(lacing))), lacing...), body...)
	}
	file := page([]byte{8}, []byte("OpusHead"))
	file = append(file, page([]byte{8}, []byte("OpusTags"))...)
	file = append(file, page([]byte{3, 255}, append([]byte("abc"), long[:255]...))...)
	file = append(file, page([]byte{45}, long[255:])...) // the packet goes on from the page before

	packets, err := oggPackets(file)
	if err != nil || len(packets) != 2 || string(packets[0]) != "abc" || len(packets[1]) != 300 {
		t.Fatalf("got %d packets and %v", len(packets), err)
	}
	for _, broken := range [][]byte{nil, []byte("RIFF"), file[:len(file)-1], file[:30]} {
		if _, err := oggPackets(broken); err == nil {
			t.Errorf("%d bytes were accepted", len(broken))
		}
	}
}

func TestAToneIsAsLongAndLoudAsItSays(t *testing.T) {
	samples := sines(Tone{Hz: []float64{1000}, MS: 400})
	if len(samples) != 19_200 {
		t.Fatalf("%d samples", len(samples))
	}
	if level := dbfs(meanSquare(samples)); level < -9.5 || level > -8.5 {
		t.Fatalf("%.1f dBFS", level) // half of full scale, as a sine: -6 - 3
	}
	if size := binary.LittleEndian.Uint32(wav(samples, toneRate)[40:]); size != 38_400 {
		t.Fatalf("%d bytes", size)
	}
}

func TestTheEarTellsWhenItFirstHeardSomething(t *testing.T) {
	var e ear
	e.hear(loud(320), noon) // before the answer nothing counts
	e.open(noon)
	e.hear(make([]int16, 320), noon.Add(50*time.Millisecond))
	e.hear(loud(320), noon.Add(730*time.Millisecond))
	heard := e.summary()
	if heard.HeardMS != 40 || heard.VoicedMS != 20 || *heard.AgentFirstAudioMS != 730 {
		t.Fatalf("got %+v", heard)
	}
	levels := e.envelope()
	if len(levels) != 8 || levels[0] != silentDBFS || levels[7] < -15 {
		t.Fatalf("got %v", levels)
	}
}
