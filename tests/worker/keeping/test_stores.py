"""Directories and buckets; a real bucket is in e2e."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from voicefleet.api.voiceagent.records import ObjectStore, Store
from voicefleet_worker.keeping.stores import BucketStore, DirectoryStore, NotKeptError, open_store
from voicefleet_worker.secret_files import SecretFiles

KEYS = "[default]\naws_access_key_id = AKIDDONOTTELL\naws_secret_access_key = s3-do-not-tell\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "AJ_1.ogg"
    path.write_bytes(b"OggS" * 1000)
    return path


async def test_a_directory_holds_a_copy_under_its_name(tmp_path: Path, recording: Path) -> None:
    target = tmp_path / "claim"
    await asyncio.to_thread(target.mkdir)
    await DirectoryStore(target).put(recording, "desk/2026-03-01/AJ_1.ogg")

    kept = sorted(await asyncio.to_thread(lambda: [p for p in target.rglob("*") if p.is_file()]))
    assert kept == [target / "desk/2026-03-01/AJ_1.ogg"]
    assert await asyncio.to_thread(kept[0].read_bytes) == b"OggS" * 1000


async def test_a_claim_that_is_not_mounted_keeps_nothing(tmp_path: Path, recording: Path) -> None:
    """Or the files would lie on the container's own disk, and be gone with it."""
    with pytest.raises(NotKeptError, match="not there"):
        await DirectoryStore(tmp_path / "claim").put(recording, "AJ_1.ogg")


async def test_a_directory_that_takes_nothing_says_why(tmp_path: Path, recording: Path) -> None:
    target = tmp_path / "claim"
    await asyncio.to_thread(target.mkdir)
    await asyncio.to_thread((target / "desk").write_text, "a file where a folder should be")

    with pytest.raises(NotKeptError, match="File exists"):
        await DirectoryStore(target).put(recording, "desk/AJ_1.ogg")


def test_a_claim_is_a_directory_below_that_of_all_stores(tmp_path: Path) -> None:
    secrets = SecretFiles(tmp_path)
    claim = open_store(Store(claim_name="recordings"), secrets)
    assert claim == DirectoryStore(Path("/var/lib/voicefleet/stores/recordings"))


@pytest.fixture
async def refusing() -> AsyncIterator[str]:
    """A store that knows nobody, and says whom it was asked by."""

    async def refuse(_: web.Request) -> web.Response:
        body = "<Error><Code>AccessDenied</Code><Message>AKIDDONOTTELL may not</Message></Error>"
        return web.Response(status=403, text=body, content_type="application/xml")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def bucket(folder: Path, endpoint: str, keys: str = KEYS) -> BucketStore:
    (folder / "bucket").mkdir(exist_ok=True)
    (folder / "bucket" / "credentials").write_text(keys)
    store = ObjectStore.model_validate(
        {"bucket": "calls", "endpoint": endpoint, "credentials": {"name": "bucket", "key": "credentials"}}
    )
    return BucketStore(store, SecretFiles(folder))


async def test_a_bucket_that_refuses_is_named_by_its_status_and_nobody_by_name(
    tmp_path: Path, recording: Path, refusing: str
) -> None:
    store = await asyncio.to_thread(bucket, tmp_path, refusing)
    with pytest.raises(NotKeptError) as refused:
        await store.put(recording, "AJ_1.ogg")

    assert str(refused.value) == "the store answered with status 403, AccessDenied"


async def test_a_bucket_that_is_away_is_no_bug(tmp_path: Path, recording: Path) -> None:
    store = await asyncio.to_thread(bucket, tmp_path, "http://127.0.0.1:9")

    with pytest.raises(NotKeptError, match="out of reach"):
        await store.put(recording, "AJ_1.ogg")


@pytest.mark.parametrize("keys", ["s3-do-not-tell", "[default]\nuser = s3-do-not-tell\n", "[do-not-tell"])
async def test_credentials_of_another_shape_are_refused_without_being_repeated(
    tmp_path: Path, recording: Path, keys: str
) -> None:
    store = await asyncio.to_thread(bucket, tmp_path, "http://127.0.0.1:9", keys)
    with pytest.raises(NotKeptError, match="aws_access_key_id") as refused:
        await store.put(recording, "AJ_1.ogg")

    assert "do-not-tell" not in str(refused.value)
