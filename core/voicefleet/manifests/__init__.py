"""What a VoiceAgent becomes in the cluster: plain dicts, ready to be applied. It knows no API and no clock."""

from typing import Any

Manifest = dict[str, Any]

__all__ = ["Manifest"]
