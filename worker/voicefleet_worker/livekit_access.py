"""How the LiveKit server is reached, by the worker and by each of its calls."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LiveKitAccess:
    """An address and who asks; the secret stays out of every repr."""

    url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
