"""Records and transcripts as files in a store."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.core.test_records import AROUND, CALL, lines
from voicefleet.api.voiceagent.records import Store
from voicefleet.records.journal import read_journal
from voicefleet.records.making import Verdict, make_record
from voicefleet.records.record import CallRecord
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.keeping import stores
from voicefleet_worker.records.sinks import NotTakenError
from voicefleet_worker.records.store_sinks import StoreSink, records_in, transcripts_in

CLAIM = Store(claim_name="calls")


@pytest.fixture
def claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stores, "STORES_DIRECTORY", str(tmp_path / "stores"))
    directory = tmp_path / "stores" / "calls"
    directory.mkdir(parents=True)
    return directory


def record(**changes: object) -> CallRecord:
    made = make_record(read_journal(lines(CALL)), Verdict("AJ_1", 0), AROUND)
    return made.model_copy(update=changes)


def kept(claim: Path) -> dict[str, dict[str, object]]:
    files = [path for path in claim.rglob("*") if path.is_file()]
    return {str(path.relative_to(claim)): json.loads(path.read_text()) for path in files}


async def take(sink: StoreSink, *records: CallRecord) -> None:
    await sink.take(records)


async def test_each_record_is_a_file_of_one_line_and_the_same_call_has_the_same_name(
    claim: Path, tmp_path: Path
) -> None:
    sink = records_in(CLAIM, SecretFiles(tmp_path))
    await take(sink, record(), record(), record(id="AJ_2"))

    files = await asyncio.to_thread(kept, claim)
    began = record().began_at[:10]
    assert sorted(files) == [f"desk/{began}/AJ_1.record.json", f"desk/{began}/AJ_2.record.json"]
    assert CallRecord.model_validate(files[f"desk/{began}/AJ_1.record.json"]) == record()


async def test_a_transcript_holds_what_was_said_and_nothing_of_the_bill(claim: Path, tmp_path: Path) -> None:
    await take(transcripts_in(CLAIM, SecretFiles(tmp_path)), record())

    ((name, content),) = (await asyncio.to_thread(kept, claim)).items()
    assert name.endswith("/AJ_1.transcript.json")
    assert content["schema"] == "voicefleet.dev/transcript/v1"
    said = content["lines"]
    assert isinstance(said, list)
    assert len(said) == len(record().transcript or ())
    assert not {"usage", "cost", "room"} & content.keys()


@pytest.mark.parametrize("transcript", [None, ()], ids=["not kept", "nobody spoke"])
async def test_a_call_without_words_has_no_transcript(transcript: object, claim: Path, tmp_path: Path) -> None:
    await take(transcripts_in(CLAIM, SecretFiles(tmp_path)), record(transcript=transcript))

    assert await asyncio.to_thread(kept, claim) == {}


async def test_a_store_that_is_away_has_not_taken_anything(claim: Path, tmp_path: Path) -> None:
    await asyncio.to_thread(claim.rmdir)

    with pytest.raises(NotTakenError, match="directory"):
        await take(records_in(CLAIM, SecretFiles(tmp_path)), record())
