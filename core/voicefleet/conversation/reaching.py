"""Which hosts the tools of an agent may reach. Pure."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """Return the host that an address names, however it is spelt; no value of a template stands there."""
    return (urlsplit(url).hostname or "").lower()


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Tell whether a host is among those that were named; `*.example.com` names all below it."""
    return any(fnmatchcase(host, pattern.lower()) for pattern in allowed)
