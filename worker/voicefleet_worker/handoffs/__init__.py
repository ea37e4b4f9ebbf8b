"""The agents of one call, and how one of them takes over from another."""
