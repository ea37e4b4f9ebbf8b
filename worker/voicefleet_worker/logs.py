"""Logs as one JSON object a line: a static message beside fields.

The SDK logs room names, transcripts and whole job requests, which hold what callers say and their numbers, and
it stamps a job's room on our own records too. So only fields on a list are kept, whoever wrote them; of its
native library, which writes rooms and people into its sentences, only the place is kept; and phone numbers are
taken out of everything, exceptions included.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

SAFE_FIELDS = frozenset({
    "agent_name", "agents", "attempt", "control_port", "dispatch_id", "elapsed_time", "error", "field", "from_agent",
    "id", "job_id", "kind", "limit_seconds", "llm", "load", "max_retry", "max_seconds", "memory_usage_mb", "packages",
    "pid", "plugin", "problem", "protocol", "provider", "realtime", "reason", "records", "region", "retry_count",
    "revision", "role", "room_id", "rtc-version", "sessions", "slots", "stt", "threshold", "timeout", "to_agent",
    "tool", "tts", "variables", "version", "worker_id",
})  # fmt: skip


_NATIVE_LOGGER = "livekit"
_PHONE_NUMBER = re.compile(r"\+[0-9]{6,15}")


class JsonFormatter(logging.Formatter):
    """Writes what may be written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        line.update({name: value for name, value in vars(record).items() if name in SAFE_FIELDS})
        if record.exc_info and record.exc_info[1]:
            line["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        elif record.exc_text:
            line["exception"] = record.exc_text
        return _PHONE_NUMBER.sub("+…", json.dumps(line, default=str, ensure_ascii=False))


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    return message.partition(" - ")[0] if record.name == _NATIVE_LOGGER else message


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
