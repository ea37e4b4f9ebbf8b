"""Counts in words, as people read them."""


def plural(count: int, noun: str) -> str:
    """Return so many things."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def in_workers(count: int, verb: str) -> str:
    """Return so many workers, and what they do."""
    return f"1 worker {verb}s" if count == 1 else f"{count} workers {verb}"


def and_more(count: int) -> str:
    """Return what follows the first of so many things, which stands for all of them."""
    return f" (and {count - 1} more)" if count > 1 else ""
