"""What the apiserver answers, as the errors that the rest goes by."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import cast

import aiohttp
import pytest

from voicefleet_operator.apiserver.kube import _decode, _event
from voicefleet_operator.apiserver.unpacking import lines_of
from voicefleet_operator.errors import ApiError


def answer(status: int, **fields: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        _decode(status, "Some Reason", json.dumps(fields).encode())
    return caught.value


def test_a_refusal_keeps_status_reason_and_words() -> None:
    error = answer(403, reason="Forbidden", message="pods is forbidden")

    assert (error.status, str(error)) == (403, "403 Forbidden: pods is forbidden")


def test_who_does_not_speak_json_is_quoted() -> None:
    with pytest.raises(ApiError, match="502 Bad Gateway: <html>"):
        _decode(502, "Bad Gateway", b"<html>" + b"x" * 10_000)


def test_a_status_that_the_crds_do_not_know_yet_says_what_to_do() -> None:
    error = answer(500, message="failed to create typed patch object: .status.newer: field not declared in schema")

    assert "the CRDs are older than this operator" in str(error)
    assert ".status.newer" in str(error)


class Content:
    """An answer that arrives in pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


@pytest.mark.parametrize(
    "pieces",
    [
        [b'{"a":1}\n{"b":2}\n'],
        [b'{"a":', b"1}", b'\n{"b":2', b"}\n"],
        [bytes([byte]) for byte in b'{"a":1}\n\n{"b":2}\n'],
    ],
)
async def test_lines_are_whole_however_they_arrive(pieces: Sequence[bytes]) -> None:
    content = cast("aiohttp.StreamReader", Content(pieces))

    assert [line async for line in lines_of(content)] == [b'{"a":1}', b'{"b":2}']


async def test_half_a_line_at_the_end_is_not_taken_for_an_event() -> None:
    content = cast("aiohttp.StreamReader", Content([b'{"a":1}\n{"b"']))

    assert [line async for line in lines_of(content)] == [b'{"a":1}']


def test_an_error_amid_a_watch_is_an_answer_like_any_other() -> None:
    said = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old resource version"}}

    with pytest.raises(ApiError, match="410 Expired: too old") as caught:
        _event(json.dumps(said).encode())
    assert caught.value.status == 410
