"""Keys that a caller presses, and what the agent does about them."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession

from tests.worker.files import AGENT, Mounted
from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.conversation.phrases import put_through
from voicefleet.records.life import News, State
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.deeds import CallDeeds
from voicefleet_worker.calls.keypad import Keypad
from voicefleet_worker.settings import load_settings

ADA = "ada"


class Phone:
    """A caller with a phone, and an agent that notes what it does."""

    def __init__(self, mounted: Mounted, **telephony: Any) -> None:
        telephony = {"dtmf": {"interDigitTimeoutMilliseconds": 100, **telephony.pop("dtmf", {})}, **telephony}
        talk = telephony.pop("conversation", {})
        mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "telephony": telephony, "conversation": talk}})
        self.done: list[str] = []
        self.told: str | None = None
        self.bug: Exception | None = None
        self.is_rude = False
        self.is_handed_over = True
        self.handlers: dict[str, Any] = {}
        self.course = Course(begins=State.TALKING)
        self.transfers: Any = SimpleNamespace(put_through=self._put_through)
        self.manners: Any = SimpleNamespace(hear=lambda: None, end_call=self._end_call)
        presence, nobody = cast("Any", SimpleNamespace(identity=ADA)), cast("Any", None)
        deeds = CallDeeds(nobody, self.course, self.manners, presence, self.transfers, nobody)
        plan = load_settings(mounted.flags, {}).plan
        keypad = Keypad(cast("AgentSession[None]", self), plan, deeds, self._hand_over)
        keypad.begin(cast("rtc.Room", SimpleNamespace(on=self.handlers.__setitem__)))

    def _end_call(self, **_: None) -> None:
        self.done.append("end")

    def press(self, keys: str, by: str = ADA) -> None:
        for key in keys:
            who = SimpleNamespace(identity=by) if by else None
            self.handlers["sip_dtmf_received"](SimpleNamespace(digit=key, participant=who))

    def interrupt(self) -> None:
        if self.is_rude:
            raise RuntimeError("may not be interrupted")
        self.done.append("silent")

    def generate_reply(self, *, user_input: str = "", instructions: str = "") -> None:
        self.done.append(user_input or f"<{instructions}>")

    async def _hand_over(self, agent: str, is_wanted: Callable[[], bool]) -> bool:
        self.done.append(f"hand over to {agent}")
        assert is_wanted()
        return self.is_handed_over

    async def _put_through(self, transfer: Transfer) -> str | None:
        self.done.append(f"to {transfer.number}")
        if self.bug is not None:
            raise self.bug
        return self.told


async def phone(mounted: Mounted, **telephony: Any) -> Phone:
    return await asyncio.to_thread(Phone, mounted, **telephony)


async def settled() -> None:
    await asyncio.sleep(0.15)


async def test_a_key_interrupts_and_is_read_after_a_pause(mounted: Mounted) -> None:
    at = await phone(mounted)
    at.press("42")
    assert at.done == ["silent", "silent"]
    await settled()

    assert at.done[2:] == ["The caller pressed 4 2."]


async def test_the_key_that_ends_a_turn_of_push_to_talk_means_nothing_else(mounted: Mounted) -> None:
    talk = {"turnTaking": {"detection": "PushToTalk"}, "pushToTalk": {"commitDigit": "#"}}
    at = await phone(mounted, conversation=talk)
    at.press("#4")
    await settled()

    assert at.done == ["silent", "The caller pressed 4."]


async def test_the_key_for_a_person_puts_the_caller_through(mounted: Mounted) -> None:
    at = await phone(mounted, transfer={"number": "+4930100"})
    at.told = "Say that nobody picked up."
    at.press("0")
    await settled()

    assert at.done == ["silent", "to +4930100", "<Say that nobody picked up.>"]


@pytest.mark.parametrize("busy", [News.HOLD, News.GOODBYE])
async def test_a_key_that_waits_for_another_one_means_nothing_to_a_caller_who_is_not_free(
    mounted: Mounted, busy: News
) -> None:
    actions = [{"digits": "1", "agent": "desk"}, {"digits": "12", "endCall": True}]
    at = await phone(mounted, dtmf={"actions": actions})
    at.press("1")
    at.course.move(busy)
    await settled()

    assert at.done == ["silent"]


async def test_a_bug_of_ours_leaves_nobody_in_silence(mounted: Mounted) -> None:
    at = await phone(mounted, transfer={"number": "+4930100"})
    at.bug = ValueError("url must be set")
    at.press("0")
    await settled()

    assert at.done[:2] == ["silent", "to +4930100"]
    assert "could not be put through" in at.done[2]


@pytest.mark.parametrize("transfer", [None, {"number": "+4930100", "mode": "Warm"}], ids=["nobody", "no trunk"])
async def test_where_nobody_can_be_reached_the_agent_is_told_of_the_wish(mounted: Mounted, transfer: Any) -> None:
    at = await phone(mounted, **({"transfer": transfer} if transfer else {}))
    at.press("0")
    await settled()

    assert at.done == ["silent", "The caller pressed 0 and wants to speak to a person."]


async def test_keys_do_what_the_spec_says(mounted: Mounted) -> None:
    actions = [{"digits": "1", "transferTo": "+4930111"}, {"digits": "9", "endCall": True}]
    at = await phone(mounted, dtmf={"actions": actions})
    at.press("1")
    await settled()
    at.press("9")

    assert at.done == ["silent", "to +4930111", "silent", "end"]


@pytest.mark.parametrize(
    ("is_handed_over", "told"), [(True, []), (False, ["The caller pressed 5."])], ids=["there", "not now"]
)
async def test_a_key_hands_over_to_an_agent_and_is_read_where_it_cannot(
    mounted: Mounted, told: list[str], *, is_handed_over: bool
) -> None:
    at = await phone(mounted, dtmf={"actions": [{"digits": "5", "agent": "desk"}]})
    at.is_handed_over = is_handed_over
    at.press("5")
    await settled()

    assert at.done == ["silent", "hand over to desk", *told]


async def test_what_may_not_be_interrupted_goes_on_and_the_key_counts(mounted: Mounted) -> None:
    at = await phone(mounted)
    at.is_rude = True
    at.press("7")
    await settled()

    assert at.done == ["The caller pressed 7."]


@pytest.mark.parametrize("by", ["person", ""], ids=["somebody else", "a server"])
async def test_keys_of_others_are_not_the_callers(mounted: Mounted, by: str) -> None:
    at = await phone(mounted)
    at.press("7", by)
    await settled()

    assert at.done == []


async def test_keys_while_a_caller_is_put_through_are_for_nobody(mounted: Mounted) -> None:
    at = await phone(mounted)
    at.course.move(News.HOLD)
    at.press("0")
    await settled()

    assert at.done == []


async def test_who_does_not_want_keys_hears_none(mounted: Mounted) -> None:
    assert (await phone(mounted, dtmf={"enabled": False})).handlers == {}


def test_who_is_put_through_is_told_so_in_the_agents_language() -> None:
    assert put_through("de-DE") != put_through("en")
