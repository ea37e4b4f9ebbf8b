"""Quotas and probes decide at the moment when a request begins: who is refused one asks the next."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from livekit.agents import APIConnectionError, APIStatusError

from tests.worker.failover.scripted import Rotating, Stage, Thinker, lineup, plan, stage, unread
from voicefleet.api.providerpool.providers import Quota
from voicefleet.api.providerpool.spec import RoutingPolicy
from voicefleet.providers.breaker import Breaker, Cause, State
from voicefleet.providers.lineup import Lineup
from voicefleet.providers.routing import Need
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.leases import HeldLeases, TakenLeases
from voicefleet_worker.failover.switch import Switch
from voicefleet_worker.problems import BadInputError

NOW = 1000.0
FIRST, SECOND = plan("first", "Llm", quota=Quota(concurrent=1)), plan("second", "Llm")
LINEUP = Lineup(Need("Llm", "en"), RoutingPolicy(), (FIRST, SECOND), "first")
ONLY = replace(LINEUP, plans=(FIRST,))


class Worker:
    """A worker of which each call has an open file of its own, as a process would."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.providers = [plan.provider for plan in LINEUP.plans]
        self.held = HeldLeases(folder / "leases", self.providers)
        self.healths: list[CallHealth] = []
        self._leases: list[TakenLeases] = []

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def call(self, lineup: Lineup = LINEUP) -> Switch[Thinker]:
        leases = TakenLeases.open(self.held.path, self.providers)
        health = CallHealth(lineup.plans, Reporter("AJ_1", None), unread(), BoardReader(), leases, clock=self.clock)
        self.healths.append(health)
        self._leases.append(leases)
        return Switch(lineup, health, lambda _: Thinker(), clock=self.clock)

    def break_first(self) -> None:
        """Let every call know that the first one failed, and that its time is over."""
        for health in self.healths:
            health._seen["first"] = Breaker(State.OPEN, self.now - 40, self.now - 10, Cause.FAILURES, 1)

    def close(self) -> None:
        for leases in self._leases:
            leases.close()
        self.held.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.close()


def test_a_quota_of_one_serves_one_request_of_two_calls(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.held.hold_all()
    one, two = worker.call(), worker.call()
    attempt = one.begin(())
    with caplog.at_level(logging.INFO):
        assert (attempt.name, two.begin(()).name) == ("first", "second")
    assert "not first: all 1 of its quota are in use" in caplog.records[-1].__dict__["reason"]

    one.succeed(attempt)
    one.release(attempt)
    assert worker.call().begin(()).name == "first"


def test_whoever_a_call_is_with_is_asked_by_lease_all_the_same(worker: Worker) -> None:
    worker.held.hold_all()
    one = worker.call()
    attempt = one.begin(())
    one.succeed(attempt)

    assert one.begin(()).name == "second"


def test_when_nobody_else_is_there_a_quota_is_a_quota(worker: Worker) -> None:
    with pytest.raises(APIConnectionError, match="first: all 1 of its quota are in use"):
        worker.call(ONLY).begin(())


def test_one_call_of_a_worker_probes_and_no_other(worker: Worker) -> None:
    worker.held.hold_all()
    one, two, three = worker.call(), worker.call(), worker.call()
    worker.break_first()

    probing = one.begin(())
    assert (probing.name, two.begin(()).name) == ("first", "second")
    one.release(probing)
    assert three.begin(()).name == "first", "it was called off, so the next one is the probe"


def test_a_probe_that_says_nothing_of_the_provider_leaves_its_place_to_the_next(worker: Worker) -> None:
    """The request was wrong: by its answer the provider is neither well nor broken."""
    worker.held.hold_all()
    one, two = worker.call(), worker.call()
    worker.break_first()
    probing = one.begin(())
    one.fail(probing, APIStatusError("too long", status_code=413))
    one.release(probing)

    assert one.begin(()).name == "first", "else nobody would ask it for half a minute"
    assert two.begin(()).name == "second"


def test_a_probe_that_is_another_workers_is_left_to_it(worker: Worker) -> None:
    worker.held.hold("first", 1)
    call = worker.call()
    worker.break_first()

    assert call.begin(()).name == "second"
    worker.held.allow_probe("first")
    assert call.begin(()).name == "first"


def test_a_call_to_whom_nobody_else_is_left_asks_without_a_probe(worker: Worker) -> None:
    worker.held.hold("first", 1)
    call = worker.call(ONLY)
    worker.break_first()

    assert call.begin(()).name == "first"


def test_once_a_probe_went_well_everybody_may_ask(worker: Worker) -> None:
    worker.held.hold_all()
    one = worker.call()
    worker.break_first()
    probing = one.begin(())
    one.succeed(probing)
    one.release(probing)

    assert worker.held.forbid_probe("first"), "nobody holds the probe any more"
    assert one.begin(()).name == "first"


REFUSED = APIStatusError("no such key", status_code=401)


def only(rotating: Rotating) -> Stage:
    return stage(lineup("Llm", "only"), rotating.building(lambda _: Thinker()), rotating.of)


def state_of(of: Stage) -> Breaker:
    (candidate,) = of.health.candidates(of.switch.lineup)
    return candidate.breaker


def test_a_request_with_a_key_that_was_replaced_is_made_again_with_the_new_one() -> None:
    rotating = Rotating()
    of = only(rotating)
    old = of.switch.begin(())
    rotating.key = 2

    assert of.switch.fail(old, REFUSED)
    of.switch.release(old)
    assert state_of(of).state is State.CLOSED, "of the provider nothing was learned"
    new = of.switch.begin(())
    assert (rotating.built, new.key) == ([1, 2], 2)
    assert set(of.switch.models()) == {old.model, new.model}, "both are closed in the end"


def test_a_key_that_is_refused_and_still_the_same_opens_the_breaker_by_its_name() -> None:
    rotating = Rotating()
    of = only(rotating)

    assert not of.switch.fail(of.switch.begin(()), REFUSED)
    breaker = state_of(of)
    assert (breaker.state, breaker.cause, breaker.refused_key) == (State.OPEN, Cause.CREDENTIALS, 1)
    with pytest.raises(APIConnectionError, match="only: it refuses the key"):
        of.switch.begin(())


def test_a_call_whose_key_was_refused_comes_back_with_the_key_of_that_moment() -> None:
    rotating = Rotating()
    of = only(rotating)
    of.switch.fail(of.switch.begin(()), REFUSED)
    rotating.key = 2
    of.health._seen["only"] = Breaker()

    assert of.switch.begin(()).key == 2


def test_of_two_requests_with_an_old_key_the_second_leaves_the_new_model_alone() -> None:
    rotating = Rotating()
    of = only(rotating)
    first, second = of.switch.begin(()), of.switch.begin(())
    rotating.key = 2
    of.switch.fail(first, REFUSED)
    of.switch.begin(())

    assert of.switch.fail(second, REFUSED)
    assert of.switch.begin(()).key == 2
    assert rotating.built == [1, 2]


@pytest.mark.parametrize("error", [APIStatusError("down", status_code=503), APIConnectionError("lost")])
def test_a_failure_that_is_no_matter_of_the_key_is_the_providers(error: Exception) -> None:
    rotating = Rotating()
    of = only(rotating)
    attempt = of.switch.begin(())
    rotating.key = 2

    assert not of.switch.fail(attempt, error)
    assert of.switch.begin(()).model is attempt.model


def test_a_key_that_cannot_be_read_is_refused_as_none() -> None:
    def refuse(_: object) -> Thinker:
        raise BadInputError("secrets/only/api-key", "secret is empty")

    of = stage(lineup("Llm", "only"), refuse)
    with pytest.raises(APIConnectionError):
        of.switch.begin(())

    assert (state_of(of).cause, state_of(of).refused_key) == (Cause.CREDENTIALS, 0)
