"""What our worker costs beside a plain livekit-agents agent, on real calls: `make bench-worker`."""
