"""Where each plugin has to be pointed."""

from dataclasses import asdict, dataclass, replace
from urllib.parse import urlsplit

from e2e.providers.faults import MAIN


@dataclass(frozen=True, slots=True)
class Providers:
    """The `base_url` of each plugin, and the control API.

    The realtime plugin takes `openai_url` too: for the main instance it adds `/realtime` by itself, for
    a named instance it uses the URL as it stands, and both are served.
    """

    deepgram_listen_url: str
    deepgram_flux_url: str
    deepgram_speak_url: str
    openai_url: str
    cartesia_url: str
    anthropic_url: str
    assemblyai_url: str
    elevenlabs_url: str
    google_url: str
    control_url: str
    instance: str = MAIN

    @classmethod
    def at(cls, origin: str, *, instance: str = MAIN) -> "Providers":
        """Return the URLs of one instance at an origin."""
        base = origin if instance == MAIN else f"{origin}/{instance}"
        return cls(
            deepgram_listen_url=f"{base}/deepgram/v1/listen",
            deepgram_flux_url=f"{base}/deepgram/v2/listen",
            deepgram_speak_url=f"{base}/deepgram/v1/speak",
            openai_url=f"{base}/openai/v1",
            cartesia_url=f"{base}/cartesia",
            anthropic_url=f"{base}/anthropic",
            assemblyai_url=f"{base}/assemblyai",
            elevenlabs_url=f"{base}/elevenlabs/v1",
            google_url=f"{base}/google",
            control_url=f"{origin}/control",
            instance=instance,
        )

    @property
    def origin(self) -> str:
        """The scheme, host and port that everything is on."""
        parts = urlsplit(self.openai_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        """The port that everything is on."""
        port = urlsplit(self.openai_url).port
        if port is None:
            raise ValueError(f"no port in {self.openai_url}")
        return port

    def for_instance(self, instance: str) -> "Providers":
        """Return the URLs of another instance of the same providers."""
        return replace(Providers.at(self.origin, instance=instance), control_url=self.control_url)

    def seen_from(self, host: str) -> "Providers":
        """Return the URLs as another machine reaches them, a pod for one; control stays where it is."""
        moved = Providers.at(f"http://{host}:{self.port}", instance=self.instance)
        return replace(moved, control_url=self.control_url)

    def as_json(self) -> dict[str, str]:
        """Return the URLs for printing."""
        return asdict(self)
