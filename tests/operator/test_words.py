"""What in a worker's words is news for its agent and its pool, and how long a word about providers counts."""

import asyncio

import pytest

from tests.operator.fakes import queue_that_knows
from tests.support.fleet import NOW, state
from tests.support.providers import MOMENT, opened, refused, says, word
from voicefleet.wire import ProviderWord, WorkerState
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Address
from voicefleet_operator.turns.workqueue import Key
from voicefleet_operator.workers.streams import WorkerStreams
from voicefleet_operator.workers.words import essence_of, with_providers

KEY = Key("VoiceAgent", "voice", "desk")


@pytest.mark.parametrize(
    ("said", "before", "known"),
    [
        pytest.param(says(word("a")), says(word("b")), ["a"], id="a new word replaces the one before"),
        pytest.param(says(), says(word("b")), [], id="so does one that names nobody"),
        pytest.param(state(instance="first"), says(word("b")), ["b"], id="a line without one leaves it"),
        pytest.param(state(instance="second"), says(word("b")), None, id="but not for another process"),
        pytest.param(state(instance="first"), state(instance="first"), None, id="nothing stays nothing"),
        pytest.param(state(), None, None, id="there is no line before the first"),
    ],
)
def test_a_word_about_providers_counts_until_the_next(
    said: WorkerState, before: WorkerState | None, known: list[str] | None
) -> None:
    providers = with_providers(said, before).providers

    assert known == (None if providers is None else [each.name for each in providers])


@pytest.mark.parametrize(
    ("before", "after", "is_news"),
    [
        pytest.param(state(), state(calls=1), True, id="a call"),
        pytest.param(state(calls=1), state(calls=1, unsentForSeconds=1), False, id="a record, of one that stays"),
        pytest.param(state(cordoned=True, unsentForSeconds=9), state(cordoned=True), True, id="all is sent: it may go"),
        pytest.param(state(), state(secretsChangedSecondsAgo=0), True, id="Secrets have changed: others are to follow"),
        pytest.param(
            state(secretsChangedSecondsAgo=130), state(secretsChangedSecondsAgo=0), True, id="and once more, later"
        ),
        pytest.param(
            state(secretsChangedSecondsAgo=4),
            state(secretsChangedSecondsAgo=9),
            False,
            id="not that time passes",
        ),
        pytest.param(
            state(cordoned=True, unsentForSeconds=4), state(cordoned=True, unsentForSeconds=9), False, id="time"
        ),
        pytest.param(says(opened()), says(refused()), True, id="a key is refused: it may have been replaced"),
        pytest.param(says(refused()), says(refused(since=MOMENT + 300)), True, id="and once more"),
        pytest.param(says(refused()), says(refused()), False, id="not that it still is"),
        pytest.param(says(opened()), says(word()), False, id="not whether a provider is broken"),
    ],
)
def test_an_agent_is_looked_at_when_something_changes_that_decisions_hang_on(
    before: WorkerState, after: WorkerState, is_news: bool
) -> None:
    assert (essence_of(before) != essence_of(after)) is is_news


def line_of(word: WorkerState) -> bytes:
    """Return a line of the one worker that is heard here."""
    return word.model_copy(update={"pod_uid": "uid"}).model_dump_json(by_alias=True).encode()


async def test_a_pool_is_looked_at_when_a_providers_state_changes_and_not_with_its_counts() -> None:
    changed: list[Key] = []
    streams = WorkerStreams(queue_that_knows(KEY), Metrics(), now=lambda: NOW, health_changed=changed.append)
    # Nobody answers there: what the worker says is handed in below.
    streams.hear(KEY, "uid", Address("voice", "desk-rev-0", "127.0.0.1", "token"))
    line = streams._lines["uid"]

    async def say(*words: ProviderWord) -> int:
        streams._hear(line, line_of(says(*words)))
        await asyncio.sleep(0)
        return len(changed)

    assert await say(word(requests=1)) == 1
    assert await say(word(requests=2, in_use=7)) == 1
    assert await say(opened(requests=3)) == 2
    streams._hear(line, line_of(state(instance="first", calls=1)))
    assert len(changed) == 2
    assert set(changed) == {KEY}
    await streams.aclose()


async def test_a_pool_is_looked_at_when_a_worker_ceases_to_share_and_when_it_shares_again() -> None:
    changed: list[Key] = []
    streams = WorkerStreams(queue_that_knows(KEY), Metrics(), now=lambda: NOW, health_changed=changed.append)
    streams.hear(KEY, "uid", Address("voice", "desk-rev-0", "127.0.0.1", "token"))
    line = streams._lines["uid"]
    seen = []
    for shares in (None, True, True, False, False, True):
        streams._hear(line, line_of(state(shares_health=shares)))
        seen.append(len(changed))

    assert seen == [0, 1, 1, 2, 2, 3]
    await streams.aclose()
