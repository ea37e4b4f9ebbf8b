"""What a worker says before it ends is repeated to whoever reads a status, and keys are not."""

import pytest

from voicefleet.last_words import quotable

STRANGER = (
    "/etc/voicefleet/spec/pool.json: spec.providers[gemini].plugin: plugin google is not in this image for role Llm; "
    "it has openai; install voicefleet[google], or build the image with EXTRAS=all-providers"
)


def test_what_a_worker_wrote_for_us_is_quoted_in_one_line() -> None:
    assert quotable(f"voicefleet-worker: {STRANGER}\n") == STRANGER
    assert quotable("voicefleet-worker: line 1\n\n  column\x0b2\n") == "line 1 column 2"


def test_a_quotation_is_bounded() -> None:
    quoted = quotable("voicefleet-worker: " + "word " * 100)

    assert len(quoted) == 300
    assert quoted.endswith("word…")


@pytest.mark.parametrize(
    "message",
    [
        "",
        STRANGER,
        'Traceback (most recent call last):\n  File "main.py", line 3\nvoicefleet-worker: no',
        '{"level": "error", "message": "worker failed"}',
    ],
    ids=["nothing", "without the beginning", "a stranger's traceback", "the end of a log"],
)
def test_what_was_not_written_for_us_is_not_quoted(message: str) -> None:
    assert quotable(message) == ""


@pytest.mark.parametrize(
    "key",
    [
        "sk-do-not-tell",
        "key='sk-do-not-tell'",
        "Authorization: Bearer abc",
        "https://example.com/?key=AIzaSyA",
        "0123456789abcdef0123456789abcdef01234567",
        "wss://APIhVx2d9Kq3mTz:qT7vX2mL9pR4sW8yB1nC6dF3gH5jK0@livekit",
    ],
)
def test_what_may_hold_a_key_is_not_quoted(key: str) -> None:
    assert quotable(f"voicefleet-worker: agent.json: found {key}") == ""
