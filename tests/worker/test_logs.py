"""Logs are lines that say what happened, where and to which call, and hold nothing that a caller said."""

import ast
import json
import logging
import pickle
import queue
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import APIConnectionError, APIStatusError, JobProcess
from livekit.agents.ipc.log_queue import LogQueueHandler

import voicefleet_worker
from voicefleet.wire import CallersAnswer
from voicefleet_worker.calls import entry
from voicefleet_worker.logs import SAFE_FIELDS, JsonFormatter
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.settings import Settings
from voicefleet_worker.tools.http import ToolFailedError

WORDS = "my name is Ada Lovelace"
SDK = logging.getLogger("livekit.agents")
OURS = logging.getLogger("voicefleet.worker")


class Lines(logging.Handler):
    """Keeps what would be written, as it would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    @property
    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.texts[-1])
        return line


@pytest.fixture
def written() -> Iterator[Lines]:
    lines = Lines()
    logging.getLogger().addHandler(lines)
    yield lines
    logging.getLogger().removeHandler(lines)


class Way:
    """The way from a job process to the worker; what goes in is pickled."""

    def __init__(self) -> None:
        self.sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def send_bytes(self, data: bytes) -> None:
        self.sent.put(data)

    def close(self) -> None:
        return


@pytest.fixture
def handed_on() -> Iterator[Way]:
    way = Way()
    handler = LogQueueHandler(way)  # type: ignore[arg-type]
    logging.getLogger().addHandler(handler)
    yield way
    logging.getLogger().removeHandler(handler)
    handler.close()
    handler.thread.join(5)


def arrive(way: Way) -> dict[str, Any]:
    """Write in the worker what a job process has handed on."""
    record = pickle.loads(way.sent.get(timeout=5))  # noqa: S301
    # The SDK adds what the worker knows of the process.
    record.pid = 7
    line: dict[str, Any] = json.loads(JsonFormatter().format(record))
    return line


def refusal() -> APIStatusError:
    """Return what a provider says that quotes the request, as the SDK passes it on."""
    try:
        try:
            int(f"invalid request: {WORDS}")
        except ValueError as error:
            raise APIStatusError(
                f"bad request\n{WORDS}", status_code=400, body={"messages": [{"content": WORDS}]}
            ) from error
    except APIStatusError as error:
        return error


def test_fields_of_strangers_and_numbers_are_left_out(written: Lines) -> None:
    SDK.warning("received job request", extra={"job_id": "AJ_1", "room": "call_+4930123456", "job_request": object()})
    OURS.warning("odd", extra={"problem": "no answer from +4930123456"})
    native = logging.makeLogRecord({"name": "livekit", "msg": 'livekit::room:1813 - left room "call-ada"'})

    first, second = map(json.loads, written.texts)
    assert first.pop("time")
    assert first == {
        "level": "warning",
        "logger": "livekit.agents",
        "message": "received job request",
        "job_id": "AJ_1",
    }
    assert second["problem"] == "no answer from +…"
    assert json.loads(JsonFormatter().format(native))["message"] == "livekit::room:1813"


def test_an_exception_is_its_kind_its_status_and_its_places_and_has_no_words(written: Lines) -> None:
    OURS.error("a bug", exc_info=refusal())

    lines = written.last["exception"].splitlines()
    assert lines[0] == "livekit.agents._exceptions.APIStatusError 400"
    assert lines[1].startswith(f'  File "{__file__}", line ')
    assert lines[1].endswith(", in refusal")
    assert lines[2] == "after ValueError"
    assert "Ada" not in written.texts[-1]


def test_exceptions_that_were_gathered_are_all_there(written: Lines) -> None:
    group = ExceptionGroup(f"said {WORDS}", [refusal(), OSError(28, f"no room for {WORDS}")])
    SDK.error("failed", exc_info=group)

    kinds = [line for line in written.last["exception"].splitlines() if not line.startswith("  ")]
    assert kinds == [
        "ExceptionGroup",
        "after livekit.agents._exceptions.APIStatusError 400",
        "after OSError ENOSPC",
        "after ValueError",
    ]
    assert "Ada" not in written.texts[-1]


def test_what_we_say_ourselves_is_said_and_what_a_tools_service_says_is_not(written: Lines) -> None:
    OURS.error("cannot go on", exc_info=BadInputError("pool.json", "secret is empty"))
    assert written.last["exception"] == "voicefleet_worker.problems.BadInputError: pool.json: secret is empty"
    OURS.error("tool failed", exc_info=ToolFailedError(WORDS))
    assert written.last["exception"] == "voicefleet_worker.tools.http.ToolFailedError"


def test_whatever_the_sdk_writes_of_an_error_holds_no_words(written: Lines) -> None:
    """Each of these is a way in which it, or a library below it, writes errors down."""
    error = refusal()
    SDK.warning(f"failed to generate LLM completion: {error}, retrying in 0.1s", extra={"attempt": 1})
    assert (written.last["message"], written.last["attempt"]) == ("failed to generate LLM completion", 1)
    SDK.warning("failed to synthesize speech: %s, retrying in %ss", error, 0.5)
    assert written.last["message"] == (
        "failed to synthesize speech: livekit.agents._exceptions.APIStatusError 400, retrying in 0.5s"
    )
    SDK.error("failed to say text: %s", str(error))
    assert written.last["message"] == "failed to say text: …"
    SDK.warning("event loop blocked for %.0fms%s", 120.4, f" by {WORDS}")
    assert written.last["message"] == "event loop blocked for 120ms…"
    SDK.error("failed to reply", extra={"error": str(error)})
    assert "error" not in written.last
    SDK.warning("failed to connect to livekit", extra={"error": APIConnectionError(WORDS), "retry_count": 3})
    assert (written.last["error"], written.last["retry_count"]) == (
        "livekit.agents._exceptions.APIConnectionError", 3
    )  # fmt: skip
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: <Task exception={error!r}>")  # noqa: G004
    assert written.last["message"] == "Task exception was never retrieved"
    odd = logging.makeLogRecord({"name": "livekit.agents", "msg": "its %d words: %s", "args": (WORDS, WORDS)})
    assert json.loads(JsonFormatter().format(odd))["message"] == "its %d words"

    assert not [text for text in written.texts if "Ada" in text]


def test_a_job_process_hands_on_no_words_and_what_helps_to_find_the_fault(
    handed_on: Way, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("let_spans_hold_words", "reach_livekit_by"):
        monkeypatch.setattr(entry, name, lambda *_, **__: None)
    setup = entry.CallSetup(settings.plan, settings.secrets, settings.livekit)
    entry.prepare_process(setup, cast("JobProcess", SimpleNamespace(userdata={})))
    SDK.error("Error in _inference_task", exc_info=refusal(), extra={"job_id": "AJ_1", "error": refusal()})
    line = arrive(handed_on)

    assert (line["message"], line["job_id"], line["pid"]) == ("Error in _inference_task", "AJ_1", 7)
    assert line["error"] == "livekit.agents._exceptions.APIStatusError 400"
    assert line["exception"].startswith(f'{line["error"]}\n  File "{__file__}", line ')
    assert "Ada" not in json.dumps(line)
    SDK.warning("failed to synthesize speech: %s, retrying in %ss", refusal(), 0.5)
    assert arrive(handed_on)["message"].endswith("APIStatusError 400, retrying in 0.5s")


def test_a_job_process_that_is_not_ready_yet_shows_where_it_failed_and_no_words(handed_on: Way) -> None:
    OURS.error("it fails early", exc_info=refusal())
    line = arrive(handed_on)

    assert line["message"] == "it fails early"
    assert all(place.startswith(f'File "{__file__}", line ') for place in line["exception"].splitlines())
    assert "Ada" not in json.dumps(line)


_SPREAD = {"answer.model_dump()": set(CallersAnswer.model_fields)}
"""What is poured into the fields of a line without being named there."""
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def _fields_of(fields: ast.expr | None, module: ast.Module) -> set[str]:
    """Return the names in a dict, wherever in its module it is made."""
    match fields:
        case ast.Dict(keys, values):
            known = {key.value for key in keys if isinstance(key, ast.Constant)}
            spread = [value for key, value in zip(keys, values, strict=True) if not isinstance(key, ast.Constant)]
            return known.union(*(_fields_of(value, module) for value in spread))
        case ast.Name(name):
            made = [
                node.value
                for node in ast.walk(module)
                if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets)
            ]
            assert made, f"where is {name} made?"
            return set[str]().union(*(_fields_of(each, module) for each in made))
        case ast.expr():
            return _SPREAD[ast.unparse(fields)]
    raise AssertionError(fields)


def _logged_fields() -> Iterator[tuple[str, str]]:
    """Yield each field that we log, and where."""
    root = Path(voicefleet_worker.__path__[0])
    for path in sorted(root.rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS):
                continue
            for keyword in node.keywords:
                if keyword.arg == "extra":
                    where = f"{path.relative_to(root)}:{node.lineno}"
                    yield from ((field, where) for field in _fields_of(keyword.value, module))


def test_every_field_that_we_log_is_written(written: Lines) -> None:
    """A line without what it promises, such as the name of a file that was lost, helps nobody at night."""
    logged = dict(_logged_fields())
    assert {"cargo", "file", "tries", "problem", "waiting"} <= logged.keys(), "the sources were read"

    OURS.warning("all of them", extra=dict.fromkeys(logged, "x"))
    assert {field: where for field, where in logged.items() if field not in written.last} == {}
    assert logged.keys() <= SAFE_FIELDS
