"""Which hosts the tools of an agent may reach. Pure."""

import re
from collections.abc import Collection
from fnmatch import fnmatchcase

# Addresses of a spec hold no user and no password.
_HOST = re.compile(r"https?://(?:\[([^\]]*)\]|([^/:?#\[\]]*))")


def host_of(url: str) -> str:
    """Return the host that an address of a spec names; no value of a template stands there.

    >>> host_of("https://API.example.com:8443/{{id}}"), host_of("http://[::1]:80/x")
    ('api.example.com', '::1')
    """
    found = _HOST.match(url)
    return (found[1] or found[2] or "").lower() if found else ""


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Tell whether a host is among those that were named; `*.example.com` names all below it."""
    return any(fnmatchcase(host, pattern.lower()) for pattern in allowed)
