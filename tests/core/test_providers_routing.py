"""Whom a request goes to: the table of reasons, and the laws over any pool."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.providerpool.providers import PriceBook, Provider, Quota
from voicefleet.api.providerpool.spec import Routing, RoutingPolicy
from voicefleet.providers.breaker import Breaker, Cause, State
from voicefleet.providers.routing import Candidate, Choice, Need, NoChoice, Refusal, choose, policy_for, typical_price

NOW = 1000.0
NEED = Need(role="Tts", language="en-GB")
PRIORITY = RoutingPolicy()


def one(name: str, **fields: Any) -> Candidate:
    known = {key: fields.pop(key) for key in list(fields) if key in Candidate.__dataclass_fields__}
    return Candidate(Provider(**{"name": name, "role": "Tts", "plugin": "cartesia", **fields}), **known)


def chosen(candidates: list[Candidate], need: Need = NEED, policy: RoutingPolicy = PRIORITY) -> str | None:
    choice = choose(candidates, need, policy, NOW)
    return choice.provider.name if isinstance(choice, Choice) else None


def broken(cause: Cause = Cause.FAILURES, until: float = NOW + 12) -> Breaker:
    return Breaker(State.OPEN, NOW - 1, until, cause, 1)


@pytest.mark.parametrize(
    ("policy", "first"),
    [("Priority", "a"), ("Latency", "b"), ("Cost", "c"), ("Quality", "d")],
)
def test_the_policy_decides(policy: Any, first: str) -> None:
    pool = [
        one("d", quality=90, price=PriceBook(per_million_characters=50), typical_seconds=0.5),
        one("c", price=PriceBook(per_million_characters=10), typical_seconds=0.5),
        one("b", price=PriceBook(per_million_characters=50), typical_seconds=0.2),
        one("a", price=PriceBook(per_million_characters=50), priority=1, typical_seconds=0.5),
    ]
    assert chosen(pool, policy=RoutingPolicy(by=policy)) == first


@pytest.mark.parametrize(
    ("never", "reason"),
    [
        ({"enabled": False}, "disabled"),
        ({"languages": ("en-US", "de")}, "does not know en-GB"),
        ({"breaker": broken()}, "it failed too often, left alone for another 12 s"),
        ({"breaker": broken(Cause.THROTTLED)}, "it is throttled, left alone for another 12 s"),
        ({"breaker": broken(Cause.CREDENTIALS)}, "it refuses the key, left alone for another 12 s"),
        ({"quota": Quota(concurrent=4), "in_use": 4}, "all 4 of its quota are in use"),
        ({"quota": Quota(requests_per_minute=9), "begun_last_minute": 9}, "9 requests were made within a minute"),
        (
            {"quota": Quota(requests_per_minute=9), "refusal": Refusal.USED_UP},
            "no more of its 9 requests a minute are to be had",
        ),
        ({"quota": Quota(tokens_per_minute=9), "tokens_last_minute": 9}, "9 tokens were used within a minute"),
    ],
    ids=["disabled", "language", "open", "throttled", "key", "concurrent", "requests", "permits", "tokens"],
)
def test_who_cannot_is_passed_over_and_the_reason_is_told(never: dict[str, Any], reason: str) -> None:
    choice = choose([one("first", **never), one("second", priority=200)], NEED, PRIORITY, NOW)

    assert isinstance(choice, Choice)
    assert choice.provider.name == "second"
    assert choice.reason == f"first by priority; not first: {reason}"


@pytest.mark.parametrize(
    ("known", "wanted", "able"),
    [
        ("en", "en-GB", True),
        ("en-GB", "en", True),
        ("en-US", "en-GB", False),
        ("en-gb", "en-GB", True),
        ("es", "en", False),
    ],
)
def test_a_language_holds_its_regions(known: str, wanted: str, *, able: bool) -> None:
    found = chosen([one("it", languages=(known,))], Need("Tts", wanted))

    assert (found is not None) is able


def test_the_agents_own_list_decides_and_nobody_else_is_asked() -> None:
    pool = [one("a", priority=1), one("b"), one("c")]

    assert chosen(pool, Need("Tts", "en", wanted=("c", "b"))) == "c"
    assert chosen(pool, Need("Tts", "en", wanted=("c", "b"), tried=frozenset({"c"}))) == "b"
    assert chosen(pool, Need("Tts", "en", wanted=("c", "b"), tried=frozenset({"b", "c"}))) is None
    alone = Need("Tts", "en", wanted=("c", "b"), tried=frozenset({"c"}), may_fall_back=False)
    assert chosen(pool, alone) is None


def test_a_call_stays_with_whom_it_is_while_that_is_well() -> None:
    pool = [one("a", priority=1), one("b")]
    with_b = Need("Tts", "en", current="b")

    assert chosen(pool, with_b) == "b"
    assert chosen(pool, with_b, RoutingPolicy(sticky=False)) == "a"
    assert chosen([pool[0], one("b", breaker=broken())], with_b) == "a"
    full = one("b", quota=Quota(concurrent=1), in_use=1)
    assert chosen([pool[0], full], with_b) == "b", "the stream that fills the quota is its own"


def test_when_all_are_broken_the_next_to_recover_is_asked() -> None:
    pool = [one("a", breaker=broken(until=NOW + 60)), one("b", breaker=broken(until=NOW + 5))]
    assert chosen(pool) == "b"


@pytest.mark.parametrize("cause", [Cause.THROTTLED, Cause.CREDENTIALS])
def test_who_asked_to_be_left_alone_is_left_alone_even_then(cause: Cause) -> None:
    choice = choose([one("only", breaker=broken(cause))], NEED, PRIORITY, NOW)

    assert isinstance(choice, NoChoice)
    assert str(choice).startswith("only: it ")


def test_who_rested_as_long_as_it_wished_is_asked_beside_the_probe_if_nobody_else_is_left() -> None:
    """The probe of one call may last for half a minute; the turns of all others would be lost until then."""
    probing = Breaker(State.HALF_OPEN, NOW - 1, NOW + 29, Cause.THROTTLED, 1)

    assert chosen([one("only", breaker=probing)]) == "only"
    assert chosen([one("a", breaker=probing), one("b", priority=200)]) == "b"


def test_without_anybody_for_the_role_it_says_so() -> None:
    assert str(choose([], NEED, PRIORITY, NOW)) == "the pool has no provider for this"


def test_weights_are_shares_of_those_with_the_best_priority() -> None:
    pool = [one("a", weight=300, priority=1), one("b", weight=100, priority=1), one("c", weight=1000, priority=2)]
    draws = [Need("Tts", "en", draw=number / 1000) for number in range(1000)]
    names = [chosen(pool, need, RoutingPolicy(by="Weight")) for need in draws]

    assert {name: names.count(name) for name in ("a", "b", "c")} == {"a": 750, "b": 250, "c": 0}


def test_a_role_may_have_a_policy_of_its_own() -> None:
    routing = Routing.model_validate({"by": "Cost", "roles": {"llm": {"by": "Latency"}}})

    assert policy_for(routing, "Llm").by == "Latency"
    assert policy_for(routing, "Tts").by == "Cost"
    assert policy_for(Routing(), "Stt").by == "Priority"


def test_prices_of_different_kinds_are_compared_by_what_a_turn_costs() -> None:
    by_minute, by_character = PriceBook(per_audio_minute=0.12), PriceBook(per_million_characters=100)

    assert typical_price(by_minute, "Tts") == pytest.approx(0.01)
    assert typical_price(by_character, "Tts") == pytest.approx(0.012)


def test_a_turn_with_a_model_that_does_it_all_costs_what_sound_costs() -> None:
    words = PriceBook(per_million_input_tokens=4, per_million_output_tokens=16)
    sound = PriceBook(per_million_input_audio_tokens=32, per_million_output_audio_tokens=64)
    both = words.model_copy(update=sound.model_dump(exclude_none=True))

    assert typical_price(both, "Realtime") == typical_price(sound, "Realtime") > typical_price(words, "Realtime") > 0
    assert typical_price(both, "Llm") == typical_price(words, "Llm")


BREAKERS = st.builds(
    Breaker,
    state=st.sampled_from(State),
    since=st.just(NOW - 10),
    until=st.floats(NOW - 50, NOW + 50),
    cause=st.sampled_from([None, *Cause]),
)
POOLS = st.lists(
    st.builds(
        lambda **fields: fields,
        enabled=st.booleans(),
        priority=st.integers(0, 3),
        languages=st.sampled_from([(), ("en",), ("de",)]),
        breaker=BREAKERS,
        in_use=st.integers(0, 3),
        quota=st.sampled_from([None, Quota(concurrent=2)]),
    ),
    max_size=5,
)


@given(POOLS, st.sampled_from(["Priority", "Weight", "Latency", "Cost", "Quality"]), st.floats(0, 0.999), st.data())
def test_laws_of_any_pool(pool: list[dict[str, Any]], by: Any, draw: float, data: st.DataObject) -> None:
    candidates = [one(f"p{number}", **fields) for number, fields in enumerate(pool)]
    tried = frozenset(data.draw(st.lists(st.sampled_from([c.name for c in candidates] or ["none"]), max_size=3)))
    need = Need("Tts", "en", tried=tried, draw=draw)

    choice = choose(candidates, need, RoutingPolicy(by=by), NOW)

    if isinstance(choice, NoChoice):
        assert {name for name, _ in choice.reasons} == {c.name for c in candidates}
        return
    (it,) = [c for c in candidates if c.name == choice.provider.name]
    assert it.provider.enabled
    assert it.provider.languages in ((), ("en",))
    assert it.name not in tried
    assert it.provider.quota is None or it.in_use < 2
    if not it.breaker.admits(NOW):
        assert it.breaker.cause is Cause.FAILURES or it.breaker.state is State.HALF_OPEN
        assert not any(
            c.breaker.admits(NOW)
            and c.provider.enabled
            and c.provider.languages in ((), ("en",))
            and c.name not in tried
            and (c.provider.quota is None or c.in_use < 2)
            for c in candidates
        ), "a broken one is asked while another one is free"
