"""Where files are kept: a directory, or a bucket that speaks the protocol of S3 or of Google's storage."""

import asyncio
import configparser
import io
import os
import re
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from voicefleet.api.voiceagent.records import ObjectStore, Store
from voicefleet.names import STORES_DIRECTORY
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.problems import BadInputError

_REQUEST_SECONDS = 60
_CONNECT_SECONDS = 10
_UPLOAD_SECONDS = 900.0
# Of a file no more than two such pieces are in memory.
_PIECE_BYTES = 5 * 1024 * 1024
_PIECES_AT_ONCE = 2
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_S3_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}


class NotKeptError(Exception):
    """A file is not kept, or nobody knows whether it is; why, in words without secrets."""


class Keep(Protocol):
    """A place where files are kept."""

    async def put(self, content: Path | bytes, name: str) -> None:
        """Keep a copy of a file, or what is to be one; return when the place has confirmed that it holds all of it."""


def open_store(store: Store, secrets: SecretFiles) -> Keep:
    """Return the place that a spec names."""
    if store.object_store is not None:
        return BucketStore(store.object_store, secrets)
    return DirectoryStore(Path(STORES_DIRECTORY, store.claim_name or ""))


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """A directory, such as that of a mounted claim."""

    directory: Path

    async def put(self, content: Path | bytes, name: str) -> None:
        """Write a file, and believe in it when it is on the disk."""
        try:
            await asyncio.to_thread(self._copy, content, self.directory / name)
        except OSError as error:
            raise NotKeptError(error.strerror or type(error).__name__) from None

    def _copy(self, content: Path | bytes, target: Path) -> None:
        if not self.directory.is_dir():
            raise NotADirectoryError(None, "the store's directory is not there")
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name}.part")
        with _opened(content) as source, half.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        half.replace(target)
        if target.stat().st_size != _size(content):
            raise OSError(None, "the copy has another size")


class BucketStore:
    """A bucket. Credentials are read for each file: a key that was rotated is the one that works."""

    def __init__(self, store: ObjectStore, secrets: SecretFiles) -> None:
        self._store = store
        self._secrets = secrets
        self._opened: tuple[str, Any] | None = None

    async def put(self, content: Path | bytes, name: str) -> None:
        """Send a file in pieces, and believe in it when the bucket names its size, and the tag of a whole one."""
        # Only a worker that keeps something needs it: 16 MB.
        import obstore  # noqa: PLC0415
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            async with asyncio.timeout(_UPLOAD_SECONDS):
                bucket = await asyncio.to_thread(self._open)
                size = await asyncio.to_thread(_size, content)
                put = await obstore.put_async(
                    bucket, name, content, chunk_size=_PIECE_BYTES, max_concurrency=_PIECES_AT_ONCE
                )
                kept = await obstore.head_async(bucket, name)
        except BaseError as error:
            raise NotKeptError(_in_words(error)) from None
        except TimeoutError:
            raise NotKeptError("the store did not answer in time") from None
        except BadInputError as error:
            raise NotKeptError(str(error)) from None
        except OSError as error:
            # A bucket that is not there is one of these as well.
            raise NotKeptError(error.strerror or _in_words(error)) from None
        # What was sent in pieces has a tag that stores are free to word in two ways; its size is told by all in one.
        is_other = size <= _PIECE_BYTES and kept["e_tag"] != put["e_tag"]
        if kept["size"] != size or is_other:
            raise NotKeptError("the store holds something else under this name")

    def _open(self) -> Any:  # noqa: ANN401 - one of the library's two stores
        ref = self._store.credentials
        credentials = "" if ref is None else self._secrets.read(ref)
        if self._opened is None or self._opened[0] != credentials:
            self._opened = (credentials, _build(self._store, credentials))
        return self._opened[1]


def _opened(content: Path | bytes) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _build(store: ObjectStore, credentials: str) -> Any:  # noqa: ANN401 - as above
    from obstore.store import GCSStore, S3Store  # noqa: PLC0415

    options: Any = {
        "timeout": timedelta(seconds=_REQUEST_SECONDS),
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "allow_http": (store.endpoint or "").startswith("http://"),
    }
    # Tried again by us, in the open: who looks at the worker sees what waits.
    retries: Any = {"max_retries": 1, "retry_timeout": timedelta(seconds=_CONNECT_SECONDS)}
    if store.provider == "GCS":
        gcs: Any = {"service_account_key": credentials} if credentials else {}
        if store.endpoint:
            gcs["base_url"] = store.endpoint
        return GCSStore(store.bucket, config=gcs, client_options=options, retry_config=retries)
    config: Any = _s3_keys(credentials) if credentials else {}
    if store.endpoint:
        config["endpoint"] = store.endpoint
    if store.region or store.endpoint:
        config["region"] = store.region or "us-east-1"
    return S3Store(store.bucket, config=config, client_options=options, retry_config=retries)


def _s3_keys(credentials: str) -> dict[str, str]:
    """Read a credentials file as AWS' own tools write it, the profile called default or else the first."""
    file = configparser.RawConfigParser()
    try:
        file.read_string(credentials)
        profile = "default" if file.has_section("default") else file.sections()[0]
        keys = {
            ours: file.get(profile, theirs) for theirs, ours in _S3_KEYS.items() if file.has_option(profile, theirs)
        }
    except (configparser.Error, IndexError):
        keys = {}
    if "access_key_id" not in keys or "secret_access_key" not in keys:
        # What is wrong with it stands in the error of the parser, together with the line.
        raise BadInputError("the store's credentials", "no profile with aws_access_key_id and aws_secret_access_key")
    return keys


def _in_words(error: Exception) -> str:
    """Say what the store said: its messages hold addresses and identities, its statuses and codes do not."""
    status, code = _STATUS.search(str(error)), _CODE.search(str(error))
    if status is None:
        return "the store is out of reach"
    return f"the store answered with status {status[1]}" + (f", {code[1]}" if code is not None else "")
