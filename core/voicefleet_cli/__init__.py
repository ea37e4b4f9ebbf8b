"""The `voicefleet` command line: a thin shell over the pure core."""
