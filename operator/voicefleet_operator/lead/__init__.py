"""Who of several operators leads, and what the others do meanwhile."""
