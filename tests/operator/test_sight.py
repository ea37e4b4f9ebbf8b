"""A standby knows the cluster before it leads, and a leader that may not know it ends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from tests.support.manifests import minimal
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.errors import ApiError, ConfigError
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.pulse import LastWord
from voicefleet_operator.sight import sight as module
from voicefleet_operator.sight.sight import MaySee, Sight
from voicefleet_operator.turns.workqueue import Key


class Kube:
    """A cluster with one agent, which refuses its lists as often as it is told to."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.listed: list[str] = []
        self.watching = asyncio.Event()

    async def pages(self, path: str, **_query: str) -> AsyncIterator[dict[str, Any]]:
        kind = path.rpartition("/")[2]
        self.listed.append(kind)
        if self.refusals:
            raise self.refusals.pop(0)
        metadata = {"namespace": "voice", "name": "desk", "uid": "1", "resourceVersion": "5"}
        items = [{**minimal("VoiceAgent"), "metadata": metadata}] if kind == "voiceagents" else []
        yield {"apiVersion": "v1", "kind": "L", "metadata": {"resourceVersion": "9"}, "items": items}

    async def watch(self, _path: str, *, version: str, **_query: object) -> AsyncGenerator[Body]:
        assert version == "9"
        self.watching.set()
        await asyncio.Event().wait()
        yield {}


def sight_of(kube: Kube) -> Sight:
    return Sight(kube, (), Metrics(), LastWord())  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)


async def test_a_standby_has_listed_everything_and_then_only_asks_again_for_what_people_decide() -> None:
    kube = Kube()
    sight = sight_of(kube)
    async with sight.kept(lambda _key, _body: None), asyncio.timeout(5):
        await kube.watching.wait()
        assert kube.listed == ["voiceagents", "providerpools", "pods", "nodes"]
        kube.listed.clear()

        await sight.catch_up()

    assert kube.listed == ["voiceagents", "providerpools", "nodes"]
    # It changed while nobody took turns.
    assert sight.queue.take() == Key("VoiceAgent", "voice", "desk")


async def test_who_leads_at_once_lists_everything_first() -> None:
    kube = Kube()
    sight = sight_of(kube)

    await sight.catch_up()

    assert kube.listed == ["voiceagents", "providerpools", "pods", "nodes"]


async def test_who_may_not_see_nodes_asks_for_none() -> None:
    kube = Kube()
    sight = Sight(kube, ("voice",), Metrics(), LastWord(), MaySee(nodes=False))  # type: ignore[arg-type]

    await sight.catch_up()

    assert kube.listed == ["voiceagents", "providerpools", "pods"]


async def test_a_standby_tries_again_whatever_it_is_answered() -> None:
    kube = Kube(ApiError(503, "", ""), KeyError("metadata"))
    async with sight_of(kube).kept(lambda _key, _body: None), asyncio.timeout(5):
        await kube.watching.wait()

    assert kube.listed == ["voiceagents", "voiceagents", "voiceagents", "providerpools", "pods", "nodes"]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (ApiError(404, "NotFound", ""), "install the CRDs"),
        (ApiError(403, "Forbidden", "may not list"), "may not list"),
    ],
)
async def test_a_leader_that_may_not_know_the_cluster_ends_with_words(refusal: ApiError, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        await sight_of(Kube(refusal)).catch_up()


async def test_a_leader_whose_cluster_is_out_of_reach_ends_too() -> None:
    with pytest.raises(ApiError):
        await sight_of(Kube(ApiError(0, "TimeoutError", ""))).catch_up()
