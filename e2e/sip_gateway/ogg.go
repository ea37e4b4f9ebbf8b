package main

import (
	"encoding/binary"
	"errors"
)

const (
	oggHeaderBytes  = 27
	oggHeaderPages  = 2 // OpusHead and OpusTags come first
	oggFullSegment  = 255
	oggSegmentsByte = 26
)

// oggPackets takes the Opus packets out of an Ogg file. A packet ends with the first segment shorter than 255 bytes,
// and may run on over pages (RFC 3533 §6).
func oggPackets(file []byte) ([][]byte, error) {
	var packets [][]byte
	var packet []byte
	for len(file) > 0 {
		if len(file) < oggHeaderBytes || string(file[:4]) != "OggS" {
			return nil, errors.New("not an Ogg page")
		}
		segments := int(file[oggSegmentsByte])
		if len(file) < oggHeaderBytes+segments {
			return nil, errors.New("the Ogg segment table is cut off")
		}
		table, body := file[oggHeaderBytes:oggHeaderBytes+segments], file[oggHeaderBytes+segments:]
		for _, size := range table {
			if len(body) < int(size) {
				return nil, errors.New("the Ogg page is cut off")
			}
			packet, body = append(packet, body[:size]...), body[size:]
			if size < oggFullSegment {
				packets, packet = append(packets, packet), nil
			}
		}
		file = body
	}
	if len(packets) < oggHeaderPages {
		return nil, errors.New("the Ogg file has no Opus headers")
	}
	return packets[oggHeaderPages:], nil
}

// wav wraps mono 16-bit samples for the encoder.
func wav(samples []int16, rate int) []byte {
	const headerBytes, bytesPerSample, pcm, mono = 44, 2, 1, 1
	size := len(samples) * bytesPerSample
	out := make([]byte, 0, headerBytes+size)
	le := binary.LittleEndian
	out = append(out, "RIFF"...)
	out = le.AppendUint32(out, uint32(headerBytes-8+size))
	out = append(out, "WAVEfmt "...)
	out = le.AppendUint32(out, 16) // of the format block
	out = le.AppendUint16(out, pcm)
	out = le.AppendUint16(out, mono)
	out = le.AppendUint32(out, uint32(rate))
	out = le.AppendUint32(out, uint32(rate*bytesPerSample))
	out = le.AppendUint16(out, bytesPerSample)
	out = le.AppendUint16(out, 8*bytesPerSample)
	out = append(out, "data"...)
	out = le.AppendUint32(out, uint32(size))
	for _, sample := range samples {
		out = le.AppendUint16(out, uint16(sample))
	}
	return out
}
