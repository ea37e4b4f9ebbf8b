"""Workers that only talk: a control port in the name of a simulated pod."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from voicefleet.names import LABEL_REVISION
from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS, latency_class

CONTROL_PORT = 8081
# Providers are spoken of on heartbeats only, as real workers do; ours beat faster.
_HEARTBEAT_SECONDS = 1.0
_SLOTS = 12


class FakeWorker:
    """A worker's control port in the name of a simulated pod: it holds calls and obeys."""

    def __init__(self, pod: dict[str, Any], token: str) -> None:
        self.calls = 0
        self.cordoned = False
        self.asked_load: float | None = None
        self.unsent_for_seconds: float | None = None
        """How long records of its calls have waited to be taken by somebody."""
        self.secrets_changed_seconds_ago: float | None = None
        self.quiet = False
        self.waiting: dict[str, int] = {}
        """Callers who found no slot, by the agent that they ask for."""
        self.providers: dict[str, dict[str, Any]] = {}
        """What it has seen of each provider; empty for a worker that does not tell."""
        self.shares: bool | None = None
        """Whether it reaches the pool's Redis, if it was given one."""
        self._told_at = 0.0
        self.token = token
        self.closed = threading.Event()
        self._uid = str(pod["metadata"]["uid"])
        self._revision = str(pod["metadata"]["labels"][LABEL_REVISION])
        self._server = _Server(pod["status"]["podIP"], self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Fall silent and refuse connections."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def look(self, order: dict[str, Any]) -> bytes:
        """Give as many callers a slot here as there is room for."""
        waiting = self.waiting.get(order["agent"], 0)
        # What it was told may be older than its last call.
        served = max(0, min(waiting, order["room"], _SLOTS - self.calls))
        self.waiting[order["agent"]] = waiting - served
        self.calls += served
        return json.dumps({"waiting": waiting - served, "dispatched": served, "lost": 0}).encode()

    def use(self, provider: str, *, answers: int = 0, errors: int = 0, seconds: float = 0.5) -> None:
        """Count requests to a provider, those that were answered with the time that it took."""
        known = self.providers.setdefault(provider, {"name": provider, "requests": 0, "errors": 0})
        latency = list(known.get("latency", [0] * (len(LATENCY_BOUNDS_MILLISECONDS) + 1)))
        latency[latency_class(seconds)] += answers
        counts = {"requests": known["requests"] + answers + errors, "errors": known["errors"] + errors}
        self.providers[provider] = {**known, **counts, "latency": latency}

    def line(self) -> bytes:
        """Say how it is."""
        sessions = [{"id": f"call-{number}", "ageSeconds": 600.0} for number in range(self.calls)]
        state = {
            "sequence": 1,
            "revision": self._revision,
            "podUid": self._uid,
            "slots": _SLOTS,
            "sessions": sessions,
            "registered": True,
            "looksForCallers": True,
            "cordoned": self.cordoned,
            "askedLoad": self.asked_load,
            "unsentForSeconds": self.unsent_for_seconds,
            "secretsChangedSecondsAgo": self.secrets_changed_seconds_ago,
            "sharesHealth": self.shares,
        }
        return json.dumps(state | self._heartbeat()).encode() + b"\n"

    def _heartbeat(self) -> dict[str, Any]:
        if not self.providers or time.monotonic() - self._told_at < _HEARTBEAT_SECONDS:
            return {}
        self._told_at = time.monotonic()
        return {"providers": list(self.providers.values())}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, worker: FakeWorker) -> None:
        self.worker = worker
        super().__init__((address, CONTROL_PORT), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        worker = self._admit()
        while worker is not None and not worker.closed.wait(0.1):
            if worker.quiet:
                continue
            try:
                self.wfile.write(worker.line())
            except OSError:
                return

    def do_POST(self) -> None:
        worker = self._admit()
        if worker is None:
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v1/load":
            worker.asked_load = json.loads(body)["load"]
        elif self.path == "/v1/callers":
            self.wfile.write(worker.look(json.loads(body)))
        else:
            worker.cordoned = self.path == "/v1/cordon"

    def _admit(self) -> FakeWorker | None:
        worker = cast("_Server", self.server).worker
        if self.headers.get("Authorization") != f"Bearer {worker.token}":
            self.send_error(401)
            return None
        self.send_response(200)
        self.end_headers()
        return worker

    def log_message(self, *_: object) -> None:
        """Say nothing."""
