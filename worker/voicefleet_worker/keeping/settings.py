"""Where a worker puts files of calls until they are kept, and how long it rests between tries."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voicefleet.api.voiceagent.worker import Worker
from voicefleet.keeping.outbox import LONGEST_PAUSE_SECONDS
from voicefleet.names import FILES_DIRECTORY
from voicefleet.quantities import bytes_of
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.problems import BadInputError

FILES_VARIABLE = "WORKER_FILES_DIRECTORY"
PAUSE_VARIABLE = "WORKER_LONGEST_UPLOAD_PAUSE_SECONDS"


@dataclass(frozen=True, slots=True)
class KeepingSettings:
    """What a keeper goes by."""

    files: CallFiles
    longest_pause_seconds: float = LONGEST_PAUSE_SECONDS


def load_keeping(worker: Worker, environment: Mapping[str, str]) -> KeepingSettings:
    """Read it from the spec, and from the environment where that knows better."""
    directory = Path(environment.get(FILES_VARIABLE) or FILES_DIRECTORY)
    text = environment.get(PAUSE_VARIABLE) or str(int(LONGEST_PAUSE_SECONDS))
    if not text.isdecimal() or int(text) < 1:
        raise BadInputError(PAUSE_VARIABLE, f"{text[:20]!r} is not a whole number of seconds")
    return KeepingSettings(CallFiles(directory, bytes_of(worker.resources.ephemeral_storage)), float(text))


def make_directories(files: CallFiles) -> None:
    """Make the directories, or say at the start why no call could be recorded."""
    try:
        files.make()
    except OSError as error:
        message = f"files of calls cannot lie here: {error.strerror}; set {FILES_VARIABLE} to a directory of yours"
        raise BadInputError(str(files.directory), message) from None
