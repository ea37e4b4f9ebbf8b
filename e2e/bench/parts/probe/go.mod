module voicefleet.dev/e2e/bench/parts/probe

go 1.25.0
