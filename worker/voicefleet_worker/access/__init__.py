"""What a worker is given, and how it reaches what stands outside: files, LiveKit, Redis."""
