"""Variables that the SDK reads by itself, from whatever process it runs in."""

import os

from voicefleet_worker.access.livekit_access import LiveKitAccess

_SPANS_MAY_HOLD_WORDS = "LIVEKIT_TELEMETRY_ALLOW_PII"
# They would turn the worker into something else than its spec says: another name, another owner, dev mode.
_FOREIGN = (
    "LIVEKIT_AGENT_DEPLOYMENT",
    "LIVEKIT_AGENT_NAME",
    "LIVEKIT_AGENT_NAME_OVERRIDE",
    "LIVEKIT_DEV_MODE",
    "LIVEKIT_REMOTE_EOT_URL",
    "LIVEKIT_WORKER_TOKEN",
)


def settle_environment() -> None:
    """Take away what would be read behind the spec's back, before any other process inherits it."""
    for name in _FOREIGN:
        os.environ.pop(name, None)
    let_spans_hold_words(allowed=False)


def let_spans_hold_words(*, allowed: bool) -> None:
    """Say whether this process may put prompts and words of callers into spans; left alone, the SDK always does."""
    os.environ[_SPANS_MAY_HOLD_WORDS] = "1" if allowed else "0"


def reach_livekit_by(access: LiveKitAccess) -> None:
    """Let a call's own requests, such as those that end or transfer it, find the server; nothing else tells them."""
    os.environ |= {
        "LIVEKIT_URL": access.url,
        "LIVEKIT_API_KEY": access.api_key,
        "LIVEKIT_API_SECRET": access.api_secret,
    }
