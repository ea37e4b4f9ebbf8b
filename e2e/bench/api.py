"""A few requests to the API server, for the bench itself; tests use kubectl or a real client."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Short for reads, which are repeated anyway: whoever waits for a server must notice its own end meanwhile.
_READ_SECONDS = 1.0
_WRITE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what came with it; a refused connection has status 0."""

    status: int
    body: Any


class Api:
    """JSON over HTTPS with one token."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._url = url
        self._token = token
        self._context = ssl.create_default_context(cafile=str(ca_file))

    def get(self, path: str) -> Answer:
        """Read one path."""
        return self._send("GET", path, None)

    def post(self, path: str, body: object) -> Answer:
        """Create one object."""
        return self._send("POST", path, body)

    def is_ready(self) -> bool:
        """Tell whether the server says it is ready."""
        return self.get("/readyz").status == 200

    def _send(self, method: str, path: str, body: object) -> Answer:
        request = urllib.request.Request(self._url + path, method=method)  # noqa: S310 - our own https URL
        request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        # Proxies of the environment have no business with a loopback address.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        try:
            with opener.open(request, timeout=_READ_SECONDS if body is None else _WRITE_SECONDS) as response:
                return Answer(response.status, _decode(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _decode(error.read()))
        except (OSError, urllib.error.URLError) as error:
            return Answer(0, str(error))


def _decode(raw: bytes) -> Any:  # noqa: ANN401 - JSON has no type
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
