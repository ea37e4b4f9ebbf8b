"""Where providers are reached unless a pool names another address."""

from voicefleet.api.providerpool.providers import Provider

_ADDRESSES = {
    "anthropic": "https://api.anthropic.com",
    "assemblyai": "https://streaming.assemblyai.com",
    "cartesia": "https://api.cartesia.ai",
    "deepgram": "https://api.deepgram.com",
    "elevenlabs": "https://api.elevenlabs.io",
    "google": "https://generativelanguage.googleapis.com",
    "groq": "https://api.groq.com",
    "openai": "https://api.openai.com",
}
# Where one make has several services, each job has its own.
_ADDRESSES_BY_ROLE = {
    ("google", "Stt"): "https://speech.googleapis.com",
    ("google", "Tts"): "https://texttospeech.googleapis.com",
}
_OVER_HTTP = {"ws": "http", "wss": "https"}


def probe_address(provider: Provider) -> str | None:
    """Return where a provider may be asked over HTTP whether it is there; nothing for a plugin that we don't know."""
    address = provider.base_url or _ADDRESSES_BY_ROLE.get((provider.plugin, provider.role))
    address = address or _ADDRESSES.get(provider.plugin)
    if address is None:
        return None
    scheme, _, rest = address.partition("://")
    return f"{_OVER_HTTP.get(scheme, scheme)}://{rest}"
