"""The worker: a livekit-agents server that runs the agent of its mounted spec."""
