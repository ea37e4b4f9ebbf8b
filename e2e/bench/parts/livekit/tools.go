//go:build tools

// Package parts pins the livekit-server that the bench builds.
package parts

import _ "github.com/livekit/livekit-server/cmd/server"
