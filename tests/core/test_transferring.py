"""How callers are put through, and what is said when nobody can be reached."""

from typing import Any

import pytest

from tests.core.test_dialogue import THREE, agent, planned
from voicefleet.api import ProviderPool
from voicefleet.api.voiceagent.telephony import Telephony, Transfer
from voicefleet.conversation.transferring import (
    Dial,
    DialOut,
    Impossible,
    Refer,
    after_failure,
    can_transfer,
    dial_out,
    plan_transfer,
    why_not,
)

NUMBER = "+4930100"
OVER = DialOut("ST_out", "+4930199")
OUTBOUND = {"trunk": "out", "callerIds": ["+4930199"]}


def pool(*trunks: dict[str, Any]) -> ProviderPool:
    key = {"name": "livekit", "key": "k"}
    spec = {
        "livekit": {"url": "ws://lk", "apiKey": key, "apiSecret": key},
        "providers": list(THREE),
        "trunks": list(trunks),
    }
    return ProviderPool.model_validate({"metadata": {"name": "p"}, "spec": spec})


def transfer(**more: Any) -> Transfer:
    return Transfer.model_validate({"number": NUMBER, **more})


@pytest.mark.parametrize(
    ("mode", "over", "is_phone", "way"),
    [
        ("Cold", None, True, Refer(NUMBER, 30)),
        ("Cold", OVER, False, Impossible("the caller is not on a phone, and cannot be put through")),
        ("Warm", OVER, True, Dial(NUMBER, 30, OVER)),
        ("Warm", OVER, False, Dial(NUMBER, 30, OVER)),
        ("Warm", None, True, Impossible("nobody can be dialed from here")),
    ],
    ids=["a phone", "a browser", "a person for a phone", "a person for a browser", "no trunk"],
)
def test_the_way(mode: str, over: DialOut | None, is_phone: bool, way: object) -> None:
    assert plan_transfer(transfer(mode=mode), over, Telephony(), is_phone=is_phone) == way


def test_nobody_is_kept_on_hold_for_longer_than_allowed() -> None:
    way = plan_transfer(transfer(), None, Telephony.model_validate({"maxHoldSeconds": 10}), is_phone=True)

    assert way == Refer(NUMBER, 10)


@pytest.mark.parametrize(
    ("trunks", "outbound", "over"),
    [
        ([{"name": "out", "trunkId": "ST_out"}], None, DialOut("ST_out")),
        ([{"name": "out", "trunkId": "ST_out"}], OUTBOUND, OVER),
        ([{"name": "out", "trunkId": "ST_out"}, {"name": "b", "trunkId": "ST_b"}], OUTBOUND, OVER),
        ([{"name": "out", "trunkId": "ST_out"}, {"name": "b", "trunkId": "ST_b"}], None, None),
        ([{"name": "b", "trunkId": "ST_b"}], OUTBOUND, None),
        ([{"name": "out", "trunkId": "ST_out", "direction": "Inbound"}], None, None),
        ([{"name": "out", "address": "sip.example.com"}], OUTBOUND, None),
        ([], None, None),
    ],
    ids=["the only one", "the agent's", "the agent's of two", "which of two", "not the agent's", "one way only",
         "not on the server", "none"],
)  # fmt: skip
def test_how_people_are_dialed(
    trunks: list[dict[str, Any]], outbound: dict[str, Any] | None, over: DialOut | None
) -> None:
    phone = Telephony.model_validate({"outbound": outbound} if outbound else {})

    assert dial_out(phone, pool(*trunks)) == over


def test_a_transfer_that_could_never_be_made_is_named_and_not_offered() -> None:
    warm = {"number": NUMBER, "mode": "Warm"}
    tool = {"name": "person", "description": "d", "builtin": {"type": "Transfer", "transfer": warm}}
    spec = agent(
        agents=[{"name": "desk", "instructions": "x", "tools": ["person"]}], tools=[tool], telephony={"transfer": warm}
    )

    assert planned(spec, pool()).not_yet == ("spec.tools[person]", "spec.telephony.transfer")
    assert planned(spec, pool()).tools == ()
    able = planned(spec, pool({"name": "out", "trunkId": "ST_out"}))
    assert (able.not_yet, [each.name for each in able.tools]) == ((), ["person"])
    assert can_transfer(transfer(), None), "a cold one needs no trunk of ours"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (486, "the line is busy"),
        (480, "nobody picked up"),
        (None, "nobody picked up"),
        (603, "the call was declined"),
        (503, "the call did not get through"),
    ],
)
def test_why_somebody_could_not_be_reached(status: int | None, why: str) -> None:
    assert why_not(status) == why


def test_what_comes_after_a_failure_is_the_specs_to_say() -> None:
    endings = {
        each: after_failure(transfer(onFailure=each), "busy").rpartition(", and ")[2]
        for each in ("ResumeConversation", "OfferCallback", "EndCall")
    }

    assert endings == {
        "ResumeConversation": "go on.",
        "OfferCallback": "offer that somebody calls back.",
        "EndCall": "say goodbye.",
    }
