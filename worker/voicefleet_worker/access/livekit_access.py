"""How the LiveKit server is reached, by the worker and by each of its calls."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from voicefleet_worker.problems import BadInputError

if TYPE_CHECKING:
    # The worker's first steps must not wait for what reads specs.
    from voicefleet.api.references import SecretKeyRef
    from voicefleet_worker.access.secret_files import SecretFiles


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the pair is read; a part that the environment gave is read nowhere."""

    secrets: "SecretFiles"
    api_key: "SecretKeyRef | None"
    api_secret: "SecretKeyRef | None"


@dataclass(frozen=True, slots=True)
class LiveKitAccess:
    """An address and who asks; the secret stays out of every repr."""

    url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    source: KeySource | None = None

    def renewed(self) -> "LiveKitAccess":
        """Return the same with the pair that is in the files now; what cannot be read stays as it was."""
        if self.source is None:
            return self
        secrets, key, secret = self.source.secrets, self.source.api_key, self.source.api_secret
        try:
            return replace(
                self,
                api_key=secrets.read(key) if key else self.api_key,
                api_secret=secrets.read(secret) if secret else self.api_secret,
            )
        except BadInputError:
            return self
