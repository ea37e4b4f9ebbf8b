"""The kinds of voicefleet.dev/v1alpha1, as models from which schema, checks and docs follow.

A worker reads two of them and starts while callers wait, so whoever wants all three asks `voicefleet.api.kinds`.
"""

from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.resource import API_VERSION, GROUP, VERSION, Resource
from voicefleet.api.voiceagent import VoiceAgent

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "ProviderPool",
    "Resource",
    "VoiceAgent",
]
