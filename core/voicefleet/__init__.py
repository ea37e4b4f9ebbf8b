"""The pure domain of voicefleet: what is decided, with no I/O and no clock."""
