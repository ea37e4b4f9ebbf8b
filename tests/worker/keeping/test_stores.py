"""Directories and buckets; a real bucket is in e2e."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from voicefleet.api.voiceagent.records import ObjectStore, Store
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.keeping.stores import BucketStore, DirectoryStore, NotKeptError, open_store

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


@dataclass
class Bucket:
    """Takes whatever comes, whole or in pieces, and says of it what it was told to say."""

    endpoint: str = ""
    tag: str = '"one"'
    size: int | None = None
    pieces: list[int] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.method == "HEAD":
            size = sum(self.pieces) if self.size is None else self.size
            told = {"ETag": self.tag, "Content-Length": str(size), "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT"}
            return web.Response(headers=told)
        if request.method == "PUT":
            self.pieces.append(len(body))
            return web.Response(headers={"ETag": '"one"'})
        if "uploads" in request.query:
            return self._xml("InitiateMultipartUploadResult", "<UploadId>7</UploadId>")
        return self._xml("CompleteMultipartUploadResult", "<ETag>&quot;one&quot;</ETag>")

    def _xml(self, name: str, inner: str) -> web.Response:
        inner = f"<Bucket>calls</Bucket><Key>AJ_1.ogg</Key>{inner}"
        return web.Response(text=f"<{name}>{inner}</{name}>", content_type="application/xml")


@pytest.fixture
async def taking() -> AsyncIterator[Bucket]:
    made = Bucket()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_a_bucket_that_confirms_size_and_tag_keeps(tmp_path: Path, recording: Path, taking: Bucket) -> None:
    await bucket(tmp_path, taking.endpoint).put(recording, "AJ_1.ogg")

    assert taking.pieces == [4000]


@pytest.mark.parametrize("other", [{"tag": '"two"'}, {"size": 3999}])
async def test_a_bucket_that_names_something_else_keeps_nothing(
    tmp_path: Path, recording: Path, taking: Bucket, other: dict[str, Any]
) -> None:
    vars(taking).update(other)

    with pytest.raises(NotKeptError, match="something else"):
        await bucket(tmp_path, taking.endpoint).put(recording, "AJ_1.ogg")


async def test_a_long_recording_is_believed_in_by_its_size(tmp_path: Path, taking: Bucket) -> None:
    """Else one whose store words the tag of what came in pieces in another way later on would be sent for ever."""
    taking.tag = '"another-2"'
    content = bytes(12 * 1024 * 1024)
    await bucket(tmp_path, taking.endpoint).put(content, "AJ_1.ogg")
    assert (len(taking.pieces), sum(taking.pieces)) == (3, len(content))

    taking.size = 5 * 1024 * 1024
    with pytest.raises(NotKeptError, match="something else"):
        await bucket(tmp_path, taking.endpoint).put(content, "AJ_1.ogg")


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
