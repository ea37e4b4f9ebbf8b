"""The control API as plain functions, for tests and for the bench."""

import json
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from e2e.providers.faults import MAIN, Mode

Rule = Mapping[str, Any]
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Control:
    """Breaks, scripts and questions a running server. Every call blocks until it is answered."""

    url: str

    def break_service(self, provider: str, service: str, mode: Mode, *, instance: str = MAIN, **options: float) -> None:
        """Put a fault on one service, or on all with `*`; options are the fields of `Fault`."""
        self._call("PUT", f"faults/{provider}/{service}", {"mode": mode, "instance": instance, **options})

    def mend(self, instance: str | None = None) -> None:
        """Take the faults away, of one instance or of all."""
        self._call("DELETE", "faults", query={"instance": instance} if instance else {})

    def drop(self, *, provider: str = "*", service: str = "*", instance: str = "*") -> int:
        """Cut the open connections that fit and return how many."""
        query = {"provider": provider, "service": service, "instance": instance}
        return int(self._call("POST", "drop", query=query)["dropped"])

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Tell the language model what to answer; nothing restores the receptionist."""
        self._call("PUT", "llm/rules", {"rules": [dict(rule) for rule in rules]})

    def set_script(self, transcripts: Iterable[str], *, instance: str | None = None) -> None:
        """Decide what the next utterances will be heard as."""
        self._call("PUT", "stt/script", {"mode": "script", "transcripts": list(transcripts), "instance": instance})

    def hear(self, *, least_silence_ms: int = 350, interim_ms: int = 0) -> Literal["hear", "script"]:
        """Go back to real hearing; the answer is `script` where no recogniser is installed."""
        body = {"mode": "hear", "least_silence_ms": least_silence_ms, "interim_ms": interim_ms}
        mode: Literal["hear", "script"] = self._call("PUT", "stt/script", body)["mode"]
        return mode

    def set_keys(self, provider: str, keys: Iterable[str], *, instance: str = "*") -> None:
        """Accept only these keys from now on."""
        self._call("PUT", "keys", {provider: list(keys)}, query={"instance": instance})

    def accept_any_key(self) -> None:
        """Accept every key but the empty one."""
        self._call("DELETE", "keys")

    def requests(self, provider: str = "", service: str = "", *, instance: str = "") -> list[dict[str, Any]]:
        """Return what was asked, oldest first; see `ledger.Entry`."""
        wanted = {"provider": provider, "service": service, "instance": instance}
        rows: list[dict[str, Any]] = self._call("GET", "requests")["requests"]
        return [row for row in rows if all(value in ("", row[name]) for name, value in wanted.items())]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return requests, turns and outcomes by `instance/provider/service`."""
        return self._call("GET", "counts")

    def heard(self) -> list[dict[str, Any]]:
        """Return every utterance with its text, length and recognition time."""
        rows: list[dict[str, Any]] = self._call("GET", "heard")["heard"]
        return rows

    def spoken(self) -> list[str]:
        """Return every sentence said aloud, oldest first."""
        return [row["text"] for row in self._call("GET", "spoken")["spoken"]]

    def forget(self) -> None:
        """Empty the ledger."""
        self._call("DELETE", "requests")

    def reset(self) -> None:
        """Mend, forget, and go back to the receptionist and to real hearing."""
        self.mend()
        self.accept_any_key()
        self.set_rules([])
        self.set_script([])
        self.hear()
        self.forget()

    def _call(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        url = f"{self.url}/{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - always our own http URL
        # No proxy from the environment may stand between a test and its own loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
        return answer
