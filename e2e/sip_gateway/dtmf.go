package main

import "strings"

const dtmfKeys = "0123456789*#ABCD" // in the order of RFC 4733 event codes

// dtmfCode is the RFC 4733 event of a key; unknown keys count as 0.
func dtmfCode(digit string) uint32 {
	return uint32(max(0, strings.Index(dtmfKeys, strings.ToUpper(digit))))
}
