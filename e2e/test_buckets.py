"""Long files in both kinds of bucket, and a pod that needs no key: as calls leave them rarely, and clouds often."""

import asyncio
import random
from pathlib import Path

import pytest

from e2e.bucket import NAME, Bucket, GoogleBucket, running_bucket
from voicefleet.api.voiceagent.records import ObjectStore
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.keeping.stores import BucketStore, NotKeptError

KINDS = {"S3": Bucket, "GCS": GoogleBucket}
# Two whole pieces and a part of a third.
LENGTH = 12_345_678


def store_for(bucket: Bucket, provider: str, folder: Path, credentials: str | None) -> BucketStore:
    spec: dict[str, object] = {"provider": provider, "bucket": NAME, "endpoint": bucket.endpoint}
    if credentials is not None:
        (folder / "secrets" / "bucket").mkdir(parents=True)
        (folder / "secrets" / "bucket" / "credentials").write_text(credentials)
        spec["credentials"] = {"name": "bucket", "key": "credentials"}
    return BucketStore(ObjectStore.model_validate(spec), SecretFiles(folder / "secrets"))


def sound(folder: Path) -> Path:
    path = folder / "long.ogg"
    path.write_bytes(random.Random(1).randbytes(LENGTH))
    return path


def put_metadata_at(address: str, patch: pytest.MonkeyPatch) -> None:
    """Have those who run at Google asked for there; nobody else is asked."""
    patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    patch.setenv("GCE_METADATA_HOST", address)
    patch.setenv("GCE_METADATA_IP", address)


@pytest.mark.parametrize("provider", KINDS)
async def test_a_long_recording_comes_in_pieces_and_is_whole(provider: str, tmp_path: Path) -> None:
    path = await asyncio.to_thread(sound, tmp_path)
    with running_bucket(tmp_path / "server", KINDS[provider]) as bucket:
        store = store_for(bucket, provider, tmp_path, bucket.credentials)
        await store.put(path, "kept/long.ogg")
        await store.put(path, "kept/long.ogg")

        kept = bucket.objects()
        assert set(kept) == {"kept/long.ogg"}
        assert kept["kept/long.ogg"].read_bytes() == path.read_bytes()


async def test_a_pod_that_is_somebody_at_google_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await asyncio.to_thread(sound, tmp_path)
    with running_bucket(tmp_path / "server", GoogleBucket) as bucket:
        put_metadata_at(f"127.0.0.1:{bucket.port}", monkeypatch)
        store = store_for(bucket, "GCS", tmp_path, None)
        await store.put(b"short", "kept/short.json")
        await store.put(path, "kept/long.ogg")

        assert bucket.objects()["kept/long.ogg"].read_bytes() == path.read_bytes()


async def test_a_pod_that_is_nobody_there_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_bucket(tmp_path / "server", GoogleBucket) as bucket:
        put_metadata_at("127.0.0.1:9", monkeypatch)
        with pytest.raises(NotKeptError, match="out of reach"):
            await store_for(bucket, "GCS", tmp_path, None).put(b"short", "kept/short.json")

        assert bucket.objects() == {}
