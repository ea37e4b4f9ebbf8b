"""What pressed keys mean: which ones belong together, and when they are complete."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.voiceagent.telephony import Dtmf, Telephony
from voicefleet.conversation.keypad import MOST_KEYS, NOTHING, Digits, Meaning, Menu, in_words, menu_of, press, settle
from voicefleet.conversation.transferring import transfer_by_keys

ACTIONS = [
    {"digits": "1", "transferTo": "+4930111"},
    {"digits": "12", "transferTo": "+4930112"},
    {"digits": "9w9", "endCall": True},
    {"digits": "5", "agent": "sales"},
]


def menu(**dtmf: Any) -> Menu:
    return menu_of(Dtmf.model_validate({"actions": ACTIONS, **dtmf}))


def pressed(of: Menu, *keys: tuple[float, str], until: float = 100.0) -> list[Meaning]:
    """Press keys at these moments, and wait until nothing is incomplete."""
    now, complete = NOTHING, list[Meaning]()
    for at_seconds, key in keys:
        now, meanings = press(of, now, key, at_seconds)
        complete += meanings
    _, meanings = settle(of, now, until)
    return complete + list(meanings)


def kinds(meanings: list[Meaning]) -> list[str]:
    return [f"{type(meaning).__name__} {meaning.keys}" for meaning in meanings]


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ([(0, "0")], ["WantsPerson 0"]),
        ([(0, "1")], ["WantsAction 1"]),
        ([(0, "1"), (1.9, "2")], ["WantsAction 12"]),
        ([(0, "1"), (2, "2")], ["WantsAction 1", "Digits 2"]),
        ([(0, "1"), (1, "3")], ["Digits 13"]),
        ([(0, "4"), (1, "2"), (2, "0")], ["Digits 420"]),
        ([(0, "4"), (3, "0")], ["Digits 4", "WantsPerson 0"]),
        ([(0, "9"), (0.1, "9")], ["WantsAction 99"]),
        ([(0, "0"), (0.1, "0")], ["WantsPerson 0", "WantsPerson 0"]),
        ([(0, "5")], ["WantsAction 5"]),
        ([(0, "#")], ["Digits #"]),
    ],
    ids=[
        "the key for a person counts at once",
        "a key that could become more waits for it",
        "the longest one counts",
        "after the pause they are two",
        "what is more than an action is none",
        "a number with a nought in it asks for nobody",
        "a nought after a pause does",
        "a pause in the spec is no key",
        "who presses twice means it twice",
        "an agent of its own",
        "other keys are left to the agent",
    ],
)
def test_keys(keys: list[tuple[float, str]], meant: list[str]) -> None:
    assert kinds(pressed(menu(), *keys)) == meant


def test_only_what_nothing_longer_begins_with_is_complete_at_once() -> None:
    assert kinds(pressed(menu(), (0, "1"), (0.1, "2"), until=0.1)) == ["WantsAction 12"]
    assert pressed(menu(), (0, "1"), until=1.9) == []


def test_without_a_key_for_a_person_there_is_none() -> None:
    assert kinds(pressed(menu(humanDigit=""), (0, "0"))) == ["Digits 0"]


def test_a_spec_that_gives_the_key_for_a_person_something_else_to_do_has_the_last_word() -> None:
    assert kinds(pressed(menu(actions=[{"digits": "0", "endCall": True}]), (0, "0"))) == ["WantsAction 0"]


def test_keys_without_end_are_told_in_pieces() -> None:
    meanings = pressed(menu(), *[(0.0, "7")] * (MOST_KEYS + 1))

    assert [len(meaning.keys) for meaning in meanings] == [MOST_KEYS, 1]


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from("0123456789*#ABCD")), max_size=80))
def test_every_key_means_something_once_and_in_order(gaps: list[tuple[float, str]]) -> None:
    at, keys = 0.0, []
    for gap, key in gaps:
        at += gap
        keys.append((at, key))

    assert "".join(meaning.keys for meaning in pressed(menu(), *keys, until=at + 10)) == "".join(k for _, k in keys)


def test_an_agent_reads_keys_one_by_one() -> None:
    assert in_words(Digits("42")) == "The caller pressed 4 2."
    assert "wants to speak to a person" in in_words(pressed(menu(), (0, "0"))[0])


@pytest.mark.parametrize(
    ("key", "number"),
    [("0", "+4930100"), ("1", "+4930111"), ("7", None)],
    ids=["to a person", "to a number of its own", "to nobody"],
)
def test_where_keys_put_a_caller_through_to(key: str, number: str | None) -> None:
    phone = Telephony.model_validate({"transfer": {"number": "+4930100", "mode": "Warm"}, "dtmf": {"actions": ACTIONS}})
    transfer = transfer_by_keys(pressed(menu_of(phone.dtmf), (0, key))[0], phone)

    assert (transfer and transfer.number) == number
    assert transfer is None or transfer.mode == "Warm", "it is reached as the spec's other number is"
    assert transfer_by_keys(pressed(menu(), (0, "0"))[0], Telephony()) is None
