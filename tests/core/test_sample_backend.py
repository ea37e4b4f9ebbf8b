"""The backend of the samples: what it books, it books once, and on a day that there is."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).parents[2] / "manifests" / "samples" / "backend" / "backend.py"


class Backend:
    """It, where it listens."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        connection.request(method, path, body if isinstance(body, str | None) else json.dumps(body))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        return answer.status, said

    def book(self, day: object, time: object = "09:00") -> int:
        return self.ask("POST", "/appointments", {"day": day, "time": time, "name": "Ada"})[0]


@pytest.fixture
def backend() -> Iterator[Backend]:
    spec = spec_from_file_location("sample_backend", SAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with ThreadingHTTPServer(("127.0.0.1", 0), module.Backend) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Backend(server.server_port)
        server.shutdown()
        thread.join()


def test_of_many_who_want_a_time_at_once_one_gets_it(backend: Backend) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: backend.book("2026-12-01"), range(8)))

    assert sorted(statuses) == [201] + [409] * 7


def test_a_time_that_is_moved_or_cancelled_is_free_again_and_one_that_is_taken_moves_nobody(backend: Backend) -> None:
    backend.book("2026-12-01", "09:00")
    backend.book("2026-12-01", "09:30")
    status, said = backend.ask("PATCH", "/appointments/p-1", {"day": "2026-12-01", "time": "09:30"})
    assert (status, said["stays"]["time"]) == (409, "09:00")

    assert backend.ask("PATCH", "/appointments/p-1", {"day": "2026-12-01", "time": "10:00"})[0] == 200
    assert backend.ask("DELETE", "/appointments/p-2")[0] == 200
    assert {"09:00", "09:30"} <= set(backend.ask("GET", "/appointments?day=2026-12-01")[1]["free"])
    assert backend.ask("DELETE", "/appointments/p-2")[0] == 404


@pytest.mark.parametrize("day", ["2026-02-31", "2026-13-01", "tomorrow", "", None, 7, ["2026-12-01"]])
def test_a_day_that_there_is_not_is_told_as_that(backend: Backend, day: object) -> None:
    assert backend.book(day) == 422
    if isinstance(day, str):
        assert backend.ask("GET", f"/appointments?day={day}")[0] == 422


@pytest.mark.parametrize("body", ["", "no json", "null", "[" * 10_000])
def test_what_is_no_wish_is_told_as_that(backend: Backend, body: str) -> None:
    assert backend.ask("POST", "/appointments", body)[0] == 422
