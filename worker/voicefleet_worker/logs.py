"""Logs as one JSON object a line: a static message beside fields.

The SDK logs room names, transcripts and whole job requests, which hold what callers say and their numbers, and
it stamps a job's room on our own records too. So only fields on a list are kept, whoever wrote them; of its
native library, which writes rooms and people into its sentences, only the place is kept; and phone numbers are
taken out of everything.

Exceptions are worse: a provider that refuses a request quotes it, and the SDK writes what was raised into its messages.
So of an exception its type, its status and the places that it went through are kept, and its own words only if we have
written them. Of a stranger's message only what comes before the first colon is kept, where others write what they were
told. A job process does so itself, as long as exceptions are there: it hands on nothing but text.
"""

import contextlib
import errno
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SAFE_FIELDS = frozenset({
    "agent_name", "agents", "attempt", "cargo", "control_port", "dispatch_id", "dispatched", "elapsed_time", "error",
    "failed", "field", "file", "from_agent", "id", "job_id", "kind", "limit_seconds", "llm", "load", "lost",
    "max_retry", "max_seconds", "memory_usage_mb", "more", "outcome", "packages", "pid", "plugin", "problem",
    "protocol", "provider", "realtime", "reason", "records", "region", "retry_count", "revision", "role", "room_id",
    "rtc-version", "sessions", "slots", "state", "stt", "threshold", "timeout", "to_agent", "tool", "tries", "tts",
    "variables", "version", "waiting", "worker_id",
})  # fmt: skip


_NATIVE_LOGGER = "livekit"
_PHONE_NUMBER = re.compile(r"\+[0-9]{6,15}")
_TOLD = re.compile(r": |\n")
_PLACE = re.compile(r'^ +(?:\| +)*(File "[^"\n]+", line \d+, in \S+)$', re.MULTILINE)
_MOST_EXCEPTIONS = 8
_MOST_PLACES = 40


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What of a log record may be written."""

    message: str
    fields: dict[str, Any]
    exception: str


class JsonFormatter(logging.Formatter):
    """Writes what may be written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        cleaned = _clean(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": cleaned.message,
            **cleaned.fields,
        }
        if cleaned.exception:
            line["exception"] = cleaned.exception
        return _PHONE_NUMBER.sub("+…", json.dumps(line, default=str, ensure_ascii=False))


class HandedOn(logging.Formatter):
    """Cleans what a job process hands on to the worker: there are no exceptions in it any more when it arrives."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, and leave everything else with the record."""
        record.cleaned = cleaned = _clean(record)
        return cleaned.message


def _clean(record: logging.LogRecord) -> Cleaned:
    known = getattr(record, "cleaned", None)
    if isinstance(known, Cleaned):
        # What the worker itself knows of a process was added since.
        return Cleaned(known.message, _fields(record) | known.fields, known.exception)
    return Cleaned(_message(record), _fields(record), _exception(record))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in vars(record).items() if name in SAFE_FIELDS}
    for name, value in tuple(fields.items()):
        if isinstance(value, BaseException):
            fields[name] = _kind(value)
        elif name == "error" and not _is_ours(record.name):
            del fields[name]
    return fields


def _message(record: logging.LogRecord) -> str:
    if record.name == _NATIVE_LOGGER:
        return record.getMessage().partition(" - ")[0]
    if _is_ours(record.name):
        # A process that is not ready yet hands on its exceptions below its messages.
        return record.getMessage().partition("\n")[0]
    if isinstance(record.args, tuple) and record.args:
        # What wants a number and is given a word is a mistake of theirs, and no reason to lose a line.
        with contextlib.suppress(TypeError, ValueError):
            return str(record.msg) % tuple(_plain(value) for value in record.args)
    return _TOLD.split(str(record.msg), maxsplit=1)[0]


def _plain(value: object) -> object:
    """Return a number as it is, of an exception its kind, and of anything else that it was there."""
    if isinstance(value, BaseException):
        return _kind(value)
    return value if isinstance(value, int | float) else "…"


def _exception(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[1]:
        return describe(record.exc_info[1])
    return "\n".join(_PLACE.findall(record.exc_text or ""))


def describe(error: BaseException) -> str:
    """Tell of what kind an exception is and through which places it went, and the same of what led to it."""
    lines: list[str] = []
    for each in _family(error):
        lines.append(f"after {_in_words(each)}" if lines else _in_words(each))
        places = [(frame.f_code, line) for frame, line in traceback.walk_tb(each.__traceback__)]
        for code, line in places[-_MOST_PLACES:]:
            lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_qualname}')
    return "\n".join(lines)


def _family(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, what it holds and what led to it."""
    waiting, known = [error], {id(error)}
    while waiting and len(known) <= _MOST_EXCEPTIONS:
        each = waiting.pop(0)
        yield each
        relatives = list(each.exceptions) if isinstance(each, BaseExceptionGroup) else []
        relatives.append(each.__cause__ or (None if each.__suppress_context__ else each.__context__))
        for relative in relatives:
            if relative is not None and id(relative) not in known:
                known.add(id(relative))
                waiting.append(relative)


def _in_words(error: BaseException) -> str:
    """Say what an exception is, in its own words only if they are ours; tools repeat what services answer."""
    ours = _is_ours(type(error).__module__) and not type(error).__module__.startswith("voicefleet_worker.tools")
    return f"{_kind(error)}: {error}" if ours else _kind(error)


def _kind(error: BaseException) -> str:
    """Return an exception's type, and the code that says more: HTTP's status or the system's."""
    kind = type(error)
    full = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    codes = [getattr(error, name, None) for name in ("status_code", "status", "code")]
    code = next((str(code) for code in codes if isinstance(code, int) and code > 0), "")
    if not code and isinstance(error, OSError) and error.errno:
        code = errno.errorcode.get(error.errno, "")
    return f"{full} {code}".rstrip()


def _is_ours(name: str) -> bool:
    """Tell by the name of a logger or a module."""
    return name.startswith("voicefleet")


def set_up_logging(level: int) -> None:
    """Send every logger to stdout; the job processes hand theirs to this one."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("livekit.agents").setLevel(max(level, logging.INFO))
    logging.getLogger(_NATIVE_LOGGER).setLevel(max(level, logging.WARNING))
    # At debug level they write request bodies.
    for name in ("httpx", "httpx2", "httpcore", "openai", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def clean_what_is_handed_on() -> None:
    """In a job process: keep words out of what goes to the worker's log."""
    # Only a job process has it, and nothing public in the SDK names it; a test fails when a release takes it away.
    from livekit.agents.ipc.log_queue import LogQueueHandler  # noqa: PLC0415

    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogQueueHandler):
            handler.setFormatter(HandedOn())
