"""A bucket on a server that speaks S3, or Google's protocol, and checks every signature: it can be taken away."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from e2e.bench.build import find_binary
from e2e.bench.packages import require_program

NAME = "calls"
ACCESS_KEY = "e2e-access-key"
SECRET_KEY = "e2e-secret-key"
CREDENTIALS = f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
METADATA_TOKEN = "e2e-of-the-metadata-server"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass
class Bucket:
    """Objects are files below a folder, which outlives the server."""

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> str:
        """What a spec's Secret holds for it."""
        return CREDENTIALS

    def objects(self) -> dict[str, Path]:
        """Return what the bucket holds, by name; what is half there has no name yet."""
        root = self.folder / NAME
        paths = (path for path in root.rglob("*") if path.is_file())
        return {name: path for path in paths if not (name := str(path.relative_to(root))).startswith(".")}

    def command(self) -> list[str]:
        return [
            str(find_binary("versitygw")), "--quiet", "--access", ACCESS_KEY, "--secret", SECRET_KEY,
            "--port", f"127.0.0.1:{self.port}", "posix", str(self.folder),
        ]  # fmt: skip

    def start(self) -> None:
        command = self.command()
        with (self.folder.parent / "bucket.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder.parent)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder.parent / "bucket.log").read_text())

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process = None


@dataclass
class GoogleBucket(Bucket):
    """The same on an emulator of Google Cloud Storage, for one service account."""

    @property
    def credentials(self) -> str:
        """The account's key, as Google's console hands it out; a token is signed with it, and nobody is asked."""
        key = self._key_file()
        return json.dumps({
            "type": "service_account",
            "client_email": "keeper@e2e.iam.gserviceaccount.com",
            "private_key_id": "e2e",
            "private_key": key.read_text(),
        })  # fmt: skip

    def command(self) -> list[str]:
        public = self.folder.parent / "account.pub"
        openssl = str(require_program("openssl"))
        subprocess.run(
            [openssl, "rsa", "-in", str(self._key_file()), "-pubout", "-out", str(public)],
            check=True,
            capture_output=True,
        )
        program = str(find_binary("fake-gcs"))
        return [
            program, "-listen", f"127.0.0.1:{self.port}", "-root", str(self.folder),
            "-key", str(public), "-token", METADATA_TOKEN,
        ]  # fmt: skip

    def _key_file(self) -> Path:
        path = self.folder.parent / "account.key"
        if not path.exists():
            openssl = str(require_program("openssl"))
            subprocess.run([openssl, "genrsa", "-out", str(path), "2048"], check=True, capture_output=True)
        return path


_Kind = TypeVar("_Kind", bound=Bucket)


@contextmanager
def running_bucket(folder: Path, kind: type[_Kind]) -> Iterator[_Kind]:
    """Run the server until the end of the block."""
    root = folder / "buckets"
    (root / NAME).mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bucket = kind(root, port)
    bucket.start()
    try:
        yield bucket
    finally:
        bucket.stop()
