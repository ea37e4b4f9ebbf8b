"""The ProviderPool kind, a module for each part of its spec."""

from voicefleet.api.providerpool.spec import ProviderPool, ProviderPoolSpec
from voicefleet.api.providerpool.status import ProviderPoolStatus

__all__ = ["ProviderPool", "ProviderPoolSpec", "ProviderPoolStatus"]
