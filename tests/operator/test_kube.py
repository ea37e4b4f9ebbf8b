"""What the apiserver answers, as the errors that the rest goes by."""

import json

import pytest

from voicefleet_operator.errors import ApiError
from voicefleet_operator.kube import _decode


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
