"""The command line as it was written."""

from dataclasses import dataclass
from pathlib import Path

from voicefleet.names import CONTROL_TOKEN_DIRECTORY, CONTROL_TOKEN_KEY, SECRETS_DIRECTORY, TEXTS_DIRECTORY

DEFAULT_SECRETS = Path(SECRETS_DIRECTORY)
DEFAULT_TOKEN_FILE = Path(CONTROL_TOKEN_DIRECTORY, CONTROL_TOKEN_KEY)
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Flags:
    """Where things are, and what a person wants otherwise than the spec says."""

    spec: Path
    pool: Path
    secrets: Path
    control_token_file: Path
    control_host: str
    control_port: int
    log_level: str | None
    data: Path | None = None
    texts: Path = Path(TEXTS_DIRECTORY)
    lookout: bool = False
    """Take no calls, and look for those of agents without workers."""
