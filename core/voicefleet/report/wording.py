"""Counts in words."""

from voicefleet.fleet import Fleet


def count_here(fleet: Fleet) -> int:
    """Count the workers that neither leave nor are over."""
    return sum(not w.pod.leaving and not w.pod.ended for w in fleet)


def plural(count: int, noun: str) -> str:
    """Return so many things."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def in_workers(count: int, verb: str) -> str:
    """Return so many workers, and what they do."""
    return f"1 worker {verb}s" if count == 1 else f"{count} workers {verb}"
