"""The session of a call: who hears, thinks and speaks, put together from a plan."""
