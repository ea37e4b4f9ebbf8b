"""What providers let a fleet have, alone and beside other agents of its pool."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.manifests import minimal
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.fleet.quota import Hearing, HeldCalls, bounded_hearing, quota_ceiling


def pool(**quotas: int | None) -> ProviderPool:
    """Return a pool of providers that hear so many calls at once, None standing for any number."""
    manifest = minimal("ProviderPool")
    manifest["metadata"]["uid"] = "pool-1"
    others = [provider for provider in manifest["spec"]["providers"] if provider["role"] != "Stt"]
    ears = [
        {"name": name, "role": "Stt", "plugin": "deepgram", "apiKey": {"name": name, "key": "api-key"}}
        | ({"quota": {"concurrent": quota}} if quota else {})
        for name, quota in quotas.items()
    ]
    manifest["spec"]["providers"] = [*ears, *others]
    return ProviderPool.model_validate(manifest)


def spec(*stt: str, minimum: int = 0) -> VoiceAgentSpec:
    manifest = minimal("VoiceAgent")
    manifest["spec"]["scaling"] = {"min": minimum, "max": 50, "scaleToZero": minimum == 0}
    manifest["spec"]["voice"] = {"pipeline": {"stt": {"providers": list(stt)}}} if stt else {}
    return VoiceAgent.model_validate(manifest).spec


@pytest.mark.parametrize(
    ("quota", "others", "here", "minimum", "most"),
    [
        (120, 0, 0, 0, 10),
        (121, 0, 0, 0, 11),
        (120, 60, 0, 0, 5),
        (120, 61, 0, 0, 5),
        (120, 48, 0, 0, 6),
        (120, 120, 0, 0, 0),
        (120, 500, 0, 0, 0),
        (120, 120, 4, 0, 4),
        (120, 120, 0, 2, 2),
        (24, 0, 5, 4, 2),
    ],
)
def test_a_fleet_grows_as_far_as_others_leave_room_and_keeps_what_it_has(
    quota: int, others: int, here: int, minimum: int, most: int
) -> None:
    ceiling = quota_ceiling(spec(minimum=minimum), pool(ear=quota), held_by_others=others, workers=here)

    assert ceiling is not None
    assert (ceiling.limit, ceiling.workers) == ("ProviderQuota", most)


def test_the_reason_says_whose_quota_it_is_and_who_else_uses_it() -> None:
    on = pool(first=60, second=60)

    alone = quota_ceiling(spec(), on, held_by_others=0, workers=0)
    beside = quota_ceiling(spec(), on, held_by_others=84, workers=5)

    assert alone is not None
    assert beside is not None
    assert alone.reason == "the quota of first, second is 120 calls at once: 10 workers of 12"
    assert beside.reason == (
        "the quota of first, second is 120 calls at once, 84 of them with other agents: 3 workers of 12; 5 may stay"
    )


@pytest.mark.parametrize(
    ("quotas", "stt", "hearing"),
    [
        ({"first": 10, "second": 20}, (), {"first", "second"}),
        ({"first": 10, "second": 20}, ("second",), {"second"}),
        ({"first": 10, "second": None}, (), None),
        ({"first": 10, "second": None}, ("first",), {"first"}),
        ({"first": None}, (), None),
    ],
)
def test_only_quotas_of_all_who_may_hear_bound_a_fleet(
    quotas: Mapping[str, int | None], stt: tuple[str, ...], hearing: set[str] | None
) -> None:
    found = bounded_hearing(spec(*stt), pool(**quotas))

    assert found == (None if hearing is None else {("pool-1", name) for name in hearing})
    assert (quota_ceiling(spec(*stt), pool(**quotas), held_by_others=0, workers=0) is None) == (hearing is None)


AGENTS = st.sampled_from(["a", "b", "c"])
HEARING = st.none() | st.frozensets(st.sampled_from([("p", "x"), ("p", "y"), ("q", "x")]), min_size=1)
NOTES = st.lists(st.tuples(AGENTS, st.none() | st.tuples(HEARING, st.integers(0, 50))), max_size=20)


@given(NOTES, AGENTS, HEARING)
def test_others_hold_what_each_of_them_said_last(
    notes: list[tuple[str, tuple[Hearing | None, int] | None]], agent: str, hearing: Hearing | None
) -> None:
    held, last = HeldCalls(), dict[str, tuple[Hearing | None, int]]()
    for name, said in [*notes, (agent, (hearing, 7))]:
        if said is None:
            held.forget(name)
            last.pop(name, None)
        else:
            held.note(name, *said)
            last[name] = said

    sure = [
        calls
        for name, (others, calls) in last.items()
        if name != agent and hearing is not None and others is not None and others <= hearing
    ]
    assert held.by_others(agent, hearing) == sum(sure)
