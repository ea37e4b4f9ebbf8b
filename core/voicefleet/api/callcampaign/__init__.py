"""The CallCampaign kind, a module for each part of its spec."""

from voicefleet.api.callcampaign.spec import CallCampaign, CallCampaignSpec
from voicefleet.api.callcampaign.status import CallCampaignStatus

__all__ = ["CallCampaign", "CallCampaignSpec", "CallCampaignStatus"]
