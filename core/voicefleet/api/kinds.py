"""All kinds, by name."""

from voicefleet.api.callcampaign import CallCampaign
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.resource import Resource
from voicefleet.api.voiceagent import VoiceAgent

KINDS: dict[str, type[Resource]] = {
    "VoiceAgent": VoiceAgent,
    "ProviderPool": ProviderPool,
    "CallCampaign": CallCampaign,
}
