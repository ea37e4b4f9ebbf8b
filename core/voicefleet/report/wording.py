"""Counts in words."""

from voicefleet.fleet import Fleet


def count_here(fleet: Fleet) -> int:
    """Count the workers that neither leave nor are over."""
    return sum(not w.pod.leaving and not w.pod.ended for w in fleet)
