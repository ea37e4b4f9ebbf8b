"""Stand-ins for the paid speech and language providers, speaking their own wire protocols.

The stock livekit plugins work against them with nothing but `base_url` set:

    with start_providers() as providers:
        stt = deepgram.STT(base_url=providers.deepgram_listen_url, api_key="any")
        Control(providers.control_url).break_service("deepgram", "listen", "throttled")

`python -m e2e.providers --port 8900 --host 0.0.0.0` serves the same to pods.
"""

from e2e.providers.client import Control
from e2e.providers.launch import DidNotStartError, start_providers
from e2e.providers.urls import Providers

__all__ = ["Control", "DidNotStartError", "Providers", "start_providers"]
