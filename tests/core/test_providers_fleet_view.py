"""How a provider is for the whole fleet: of several that are said, which one counts."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.providers import MOMENT, latencies, ledger_of, opened, provider, refused, says, word
from voicefleet.providers.breaker import Cause, State
from voicefleet.providers.fleet_view import view_provider
from voicefleet.providers.growth import ProviderLedger
from voicefleet.providers.probing import Probed
from voicefleet.wire import ProviderWord, WorkerState

REACHED, LOST = Probed(was_reached=True), Probed("connection refused", failures=1)
HALF_OPEN = word(state=State.HALF_OPEN, since=MOMENT, cause=Cause.FAILURES)
MISSING = word(is_missing=True)
LONGEST_REST = 300


@dataclass(frozen=True)
class Case:
    """What is said, and what comes of it."""

    id: str
    state: str
    said: list[tuple[str, float, WorkerState]] = field(default_factory=list)
    probed: Probed | None = None
    enabled: bool = True
    at: float = 6.0
    trouble: str = ""


def answers(uid: str, at: float) -> list[tuple[str, float, WorkerState]]:
    """Return the words of a worker that had an answer between two moments."""
    return [(uid, at - 5, says(word(requests=1))), (uid, at, says(word(requests=2)))]


CASES = [
    Case("nobody has asked it", "Unknown"),
    Case("workers run and have not asked it", "Unknown", said=[("a", 5, says(word()))]),
    Case("a worker has asked it before, and leaves it as it is", "Closed", said=[("a", 5, says(word(requests=1)))]),
    Case("only the probe has asked it", "Closed", probed=REACHED),
    Case("the probe never reached it", "Unreachable", probed=LOST, trouble="connection refused"),
    Case("the probe misses once", "Closed", probed=REACHED.after("refused")),
    Case("the probe misses twice", "Unreachable", probed=REACHED.after("refused").after("refused"), trouble="refused"),
    Case("the probe misses it and calls have answers", "Closed", probed=LOST, said=answers("a", 5)),
    Case("calls had answers more than five minutes ago", "Unreachable", probed=LOST, said=answers("a", 5), at=305.1),
    Case("the pool does not use it", "Disabled", said=[("a", 5, says(refused()))], enabled=False),
    Case("an image has no plugin for it", "PluginMissing", said=[("a", 5, says(MISSING))], trouble="no plugin"),
    Case(
        "the image of one of two has no plugin for it",
        "PluginMissing",
        said=[*answers("b", 5), ("a", 5, says(word(is_missing=True)))],
    ),
    Case("one of two leaves it alone", "Open", said=[*answers("b", 5), ("a", 5, says(opened()))], trouble="failed"),
    Case("one of two tries it again", "HalfOpen", said=[*answers("b", 5), ("a", 5, says(HALF_OPEN))]),
    Case(
        "one tries it again and one leaves it alone", "Open", said=[("b", 5, says(HALF_OPEN)), ("a", 5, says(opened()))]
    ),
    Case("it wants fewer requests", "Open", said=[("a", 5, says(opened(cause=Cause.THROTTLED)))], trouble="429"),
    Case(
        "one was refused the key and one leaves it alone",
        "CredentialsRefused",
        said=[("b", 5, says(opened())), ("a", 5, says(refused()))],
        trouble="401",
    ),
    Case("who leaves it alone is heard no more", "Unknown", said=[("a", 5, says(opened()))], at=21),
    Case(
        "one leaves it alone for longer than it may, and nobody knows better",
        "Open",
        said=[("a", 299, says(opened())), ("a", LONGEST_REST + 5, says(opened()))],
        at=LONGEST_REST + 6,
    ),
    Case(
        "one leaves it alone for longer than it may, and another had an answer since",
        "Closed",
        said=[*answers("b", LONGEST_REST + 5), ("a", LONGEST_REST + 5, says(opened()))],
        at=LONGEST_REST + 6,
    ),
    Case(
        "another had an answer while one may still leave it alone",
        "Open",
        said=[*answers("b", LONGEST_REST - 5), ("a", LONGEST_REST - 5, says(opened()))],
        at=LONGEST_REST - 4,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_of_all_that_is_said_one_thing_counts(case: Case) -> None:
    view = view_provider(provider(enabled=case.enabled), ledger_of(*case.said), case.probed, now=MOMENT + case.at)

    assert view.state == case.state
    assert case.trouble in view.trouble
    assert view.is_well == (case.state == "Closed")


def test_a_refused_key_is_told_with_the_namespaces_it_was_refused_in() -> None:
    ledger = ledger_of(("a", 5, says(refused())))
    ledger.note("b", "sales", says(refused()), MOMENT + 5)
    ledger.note("c", "shop", says(word(requests=2)), MOMENT + 5)

    assert view_provider(provider(), ledger, None, now=MOMENT + 6).refused_in == ("sales", "voice")


def test_a_key_of_one_namespace_that_works_proves_nothing_about_that_of_another() -> None:
    late = LONGEST_REST + 5
    ledger = ledger_of(*answers("b", late), namespace="sales")
    ledger.note("a", "voice", says(refused()), MOMENT + late)
    same = ledger_of(*answers("b", late), ("a", late, says(refused())))

    assert view_provider(provider(), ledger, None, now=MOMENT + late).state == "CredentialsRefused"
    assert view_provider(provider(), same, None, now=MOMENT + late).state == "Closed"


def test_uses_add_up_and_latencies_are_of_the_last_minutes() -> None:
    quick, slow = latencies(*[0.25] * 19), latencies(*[0.25] * 18, 4.5, 4.5)
    ledger = ledger_of(
        ("a", 0, says(word())),
        ("b", 0, says(word(latency=latencies(9.0), requests=1))),
        ("a", 5, says(word(in_use=3, requests=19, latency=quick))),
        ("b", 5, says(word(in_use=4, requests=21, errors=2, latency=tuple(map(int.__add__, slow, latencies(9.0)))))),
    )

    view = view_provider(provider(), ledger, None, now=MOMENT + 6)

    assert view.in_use == 7
    assert (view.p50_milliseconds, view.p95_milliseconds) == (300, 5000)
    assert view.recent.error_fraction == 2 / 39


def test_a_state_began_when_the_first_who_says_so_says_it_did() -> None:
    ledger = ledger_of(("a", 5, says(opened(since=MOMENT - 7))), ("b", 5, says(opened(since=MOMENT - 30))))

    assert view_provider(provider(), ledger, None, now=MOMENT + 6).began_at == MOMENT - 30


WORDS: list[ProviderWord] = [word(), word(requests=3), opened(), refused(), HALF_OPEN]
SEVERITY = ["Unknown", "Closed", "HalfOpen", "Open", "CredentialsRefused"]


@given(st.lists(st.sampled_from(WORDS), max_size=6))
def test_the_worst_word_counts_in_whatever_order_workers_speak(words: list[ProviderWord]) -> None:
    def state_of(spoken: tuple[ProviderWord, ...]) -> str:
        ledger = ProviderLedger()
        for number, each in enumerate(spoken):
            ledger.note(str(number), "voice", says(each), MOMENT)
        return view_provider(provider(), ledger, None, now=MOMENT).state

    together = state_of(tuple(words))
    alone = [state_of((each,)) for each in words]

    assert together == max(alone, key=SEVERITY.index, default="Unknown")
    assert {state_of(order) for order in itertools.islice(itertools.permutations(words), 10)} <= {together}
