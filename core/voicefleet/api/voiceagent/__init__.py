"""The VoiceAgent kind, a module for each part of its spec."""

from voicefleet.api.voiceagent.spec import VoiceAgent, VoiceAgentSpec
from voicefleet.api.voiceagent.status import VoiceAgentStatus

__all__ = ["VoiceAgent", "VoiceAgentSpec", "VoiceAgentStatus"]
