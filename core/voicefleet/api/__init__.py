"""The three kinds of voicefleet.dev/v1alpha1, as models from which schema, checks and docs follow."""

from voicefleet.api.callcampaign import CallCampaign
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.resource import API_VERSION, GROUP, VERSION, Resource
from voicefleet.api.voiceagent import VoiceAgent

KINDS: dict[str, type[Resource]] = {
    "VoiceAgent": VoiceAgent,
    "ProviderPool": ProviderPool,
    "CallCampaign": CallCampaign,
}

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "CallCampaign",
    "ProviderPool",
    "Resource",
    "VoiceAgent",
]
