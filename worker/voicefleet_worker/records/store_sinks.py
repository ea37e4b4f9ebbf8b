"""Records and transcripts as files in a store: a bucket or a mounted claim, one file for each call."""

from collections.abc import Callable, Sequence
from datetime import datetime

from voicefleet.api.voiceagent.records import Store
from voicefleet.keeping.naming import object_name, prefix_of
from voicefleet.records.record import CallRecord
from voicefleet.records.transcript import SUFFIX as TRANSCRIPT_SUFFIX
from voicefleet.records.transcript import transcript_of
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.keeping.stores import Keep, NotKeptError, open_store
from voicefleet_worker.records.sinks import NotTakenError, as_line

_RECORD_SUFFIX = ".record.json"


class StoreSink:
    """A file for each call; the same call has the same name again, so what arrives twice is there once."""

    at_once = 1

    def __init__(self, keep: Keep, suffix: str, prefix: str, content: Callable[[CallRecord], str | None]) -> None:
        self._keep = keep
        self._suffix = suffix
        self._prefix = prefix
        self._content = content

    async def take(self, records: Sequence[CallRecord]) -> None:
        """Keep them one by one."""
        for record in records:
            content = self._content(record)
            if content is None:
                continue
            try:
                await self._keep.put(f"{content}\n".encode(), self._name(record))
            except NotKeptError as error:
                raise NotTakenError(str(error)) from None

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _name(self, record: CallRecord) -> str:
        began = datetime.fromisoformat(record.began_at)
        return object_name(self._prefix, agent=record.agent.name, call=record.id, began=began, suffix=self._suffix)


def records_in(store: Store, secrets: SecretFiles) -> StoreSink:
    """Return a sink that keeps whole records."""
    return StoreSink(open_store(store, secrets), _RECORD_SUFFIX, prefix_of(store), as_line)


def transcripts_in(store: Store, secrets: SecretFiles) -> StoreSink:
    """Return a sink that keeps nothing but what was said."""
    return StoreSink(open_store(store, secrets), TRANSCRIPT_SUFFIX, prefix_of(store), _words)


def _words(record: CallRecord) -> str | None:
    transcript = transcript_of(record)
    return None if transcript is None else transcript.model_dump_json(by_alias=True, exclude_none=True)
