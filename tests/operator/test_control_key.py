"""The key from which all tokens follow, asked of an apiserver that may be away when the operator starts."""

import base64
from typing import Any

import pytest

from voicefleet_operator.errors import ApiError
from voicefleet_operator.workers import control_key
from voicefleet_operator.workers.control_key import key_when_answered

KEY = b"k" * 32
SECRET = {"data": {"key": base64.b64encode(KEY).decode()}}


class Kube:
    """An apiserver that refuses so many times, and then answers."""

    def __init__(self, *refusals: ApiError) -> None:
        self.refusals = list(refusals)

    async def get(self, _path: str) -> dict[str, Any]:
        if self.refusals:
            raise self.refusals.pop(0)
        return SECRET


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_key, "_AGAIN_SECONDS", 0.0)


async def test_an_apiserver_that_is_away_is_waited_for() -> None:
    kube = Kube(
        ApiError(0, "ClientConnectorError", "refused"), ApiError(503, "", "starting"), ApiError(429, "", "busy")
    )

    assert await key_when_answered(kube, "op", "key") == KEY  # type: ignore[arg-type]


async def test_an_apiserver_that_forbids_it_is_not_asked_again() -> None:
    kube = Kube(ApiError(403, "Forbidden", "no"), ApiError(0, "", ""))

    with pytest.raises(ApiError, match="403"):
        await key_when_answered(kube, "op", "key")  # type: ignore[arg-type]

    assert len(kube.refusals) == 1
