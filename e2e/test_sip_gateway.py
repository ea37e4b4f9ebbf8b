"""The SIP gateway keeps LiveKit's side of the contract: a stock server and a stock client can't tell it apart."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import pytest
from livekit import api
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from e2e.bench import Bench
from e2e.sip_gateway.client import SipGateway, SipGatewayError, start_sip_gateway
from e2e.sip_gateway.dialer import Dialer, rent_trunk
from e2e.sip_gateway.records import CallRecord
from e2e.sip_gateway.room_listener import listen_in

_WAIT_SECONDS = 10.0
_Seen = TypeVar("_Seen")


@pytest.fixture
def gateway(bench: Bench) -> Iterator[SipGateway]:
    with start_sip_gateway(bench) as running:
        yield running


@pytest.fixture
async def dialer(bench: Bench) -> AsyncIterator[Dialer]:
    async with rent_trunk(bench) as rented:
        yield rented


async def eventually(observe: Callable[[], _Seen | None], what: str) -> _Seen:
    """Wait until an observation is truthy."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (seen := observe()):
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        await asyncio.sleep(0.05)
    return seen


def ended(gateway: SipGateway, call_id: str) -> Callable[[], CallRecord | None]:
    def observe() -> CallRecord | None:
        record = gateway.call(call_id)
        return record if record.ended_at else None

    return observe


# Answers and refusals


async def test_an_answered_call_returns_with_the_callee_active_in_the_room(gateway: SipGateway, dialer: Dialer) -> None:
    answered = await dialer.dial()

    callee = await dialer.callee_once("active")
    assert callee.kind == ParticipantInfo.Kind.SIP
    assert callee.sid == answered.participant_id
    assert callee.attributes["sip.callID"] == answered.sip_call_id
    assert callee.attributes["sip.phoneNumber"] == dialer.number
    assert callee.attributes["sip.trunkPhoneNumber"] == "+15550001"
    assert callee.attributes["sip.trunkID"] == dialer.trunk_id
    assert callee.attributes["campaign"] == "spring"
    (invite,) = gateway.invites()
    assert (invite.id, invite.outcome, invite.call_to) == (answered.sip_call_id, "answered", dialer.number)
    assert (invite.room, invite.participant_identity, invite.from_number) == (dialer.room, "callee", "+15550001")
    assert invite.headers == {"X-Attempt": "1"}
    assert invite.wait_until_answered
    assert invite.ringing_timeout_ms == 5_000
    assert invite.ringing_at is not None
    assert invite.answered_at is not None
    assert invite.asked_at <= invite.ringing_at <= invite.answered_at


async def test_busy_raises_486_and_leaves_nobody_in_the_room(gateway: SipGateway, dialer: Dialer) -> None:
    gateway.script_number(dialer.number, {"final": "busy"})

    with pytest.raises(api.SipCallError) as refused:
        await dialer.dial()

    assert (refused.value.sip_status_code, refused.value.sip_status) == (486, "Busy Here")
    await dialer.wait_until_gone()
    (invite,) = gateway.invites()
    assert (invite.outcome, invite.status_code, invite.ringing_at) == ("rejected", 486, None)


@pytest.mark.parametrize("status", [404, 480, 503, 603, 607, 608])
async def test_any_rejection_arrives_with_its_code_and_text(gateway: SipGateway, dialer: Dialer, status: int) -> None:
    gateway.script_number(dialer.number, {"reject": {"status": status, "text": "No, thanks"}})

    with pytest.raises(api.SipCallError) as refused:
        await dialer.dial()

    assert (refused.value.sip_status_code, refused.value.sip_status) == (status, "No, thanks")


async def test_a_rejection_after_ringing_is_told_from_one_at_once(gateway: SipGateway, dialer: Dialer) -> None:
    """A 480 after 180 is an unanswered phone; one at once may be a full trunk."""
    gateway.script_number(dialer.number, {"ring_ms": 300, "reject": {"status": 480}})

    with pytest.raises(api.SipCallError):
        await dialer.dial()

    (invite,) = gateway.invites()
    assert invite.ringing_at is not None
    assert invite.ended_at is not None
    assert (invite.ended_at - invite.ringing_at).total_seconds() == pytest.approx(0.3, abs=0.1)


async def test_a_number_that_never_answers_is_canceled_at_the_ringing_timeout_without_a_code(
    gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.script_number(dialer.number, {"final": "no_answer"})

    with pytest.raises(api.ServerError) as canceled:
        await dialer.dial(ring_seconds=1.0)

    assert not isinstance(canceled.value, api.SipCallError)
    assert canceled.value.code == "canceled"
    (invite,) = gateway.invites()
    assert invite.outcome == "no_answer"
    assert invite.ringing_at is not None
    assert invite.ended_at is not None
    assert (invite.ended_at - invite.ringing_at).total_seconds() == pytest.approx(1.0, abs=0.15)


async def test_deleting_the_room_cancels_a_ringing_call(gateway: SipGateway, dialer: Dialer) -> None:
    gateway.script_number(dialer.number, {"final": "no_answer"})
    dialing = asyncio.create_task(dialer.dial(ring_seconds=20.0))
    await eventually(lambda: [call for call in gateway.calls() if call.state == "ringing"], "it rings")

    await dialer.delete_room()

    with pytest.raises(api.ServerError) as canceled:
        await dialing
    assert canceled.value.code == "canceled"
    assert [invite.outcome for invite in gateway.invites()] == ["canceled"]


async def test_without_waiting_the_call_returns_at_once_and_the_attribute_tells_the_rest(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.script_number(dialer.number, {"trying_ms": 300, "ring_ms": 500, "hang_up_after_ms": 500})
    async with listen_in(bench, dialer.room) as listener:
        await dialer.dial(wait=False)
        assert gateway.invites()[0].outcome == "pending"

        gone = await asyncio.wait_for(listener.left.get(), _WAIT_SECONDS)

        assert gone.identity == "callee"
        assert listener.statuses == ["dialing", "ringing", "active", "hangup"]


@pytest.mark.parametrize(
    ("final", "reason"),
    [
        ("busy", DisconnectReason.USER_REJECTED),
        ("no_answer", DisconnectReason.USER_UNAVAILABLE),
    ],
)
async def test_without_waiting_a_failed_call_is_told_by_its_disconnect_reason(
    bench: Bench, gateway: SipGateway, dialer: Dialer, final: str, reason: int
) -> None:
    gateway.script_number(dialer.number, {"trying_ms": 200, "final": final})
    async with listen_in(bench, dialer.room) as listener:
        await dialer.dial(wait=False, ring_seconds=0.5)

        gone = await asyncio.wait_for(listener.left.get(), _WAIT_SECONDS)

        assert gone.disconnect_reason == reason
        assert "hangup" not in listener.statuses


async def test_a_number_can_be_busy_first_and_answer_then(gateway: SipGateway, dialer: Dialer) -> None:
    gateway.script_number(dialer.number, {"final": "busy"}, {"callee": "silent"})

    with pytest.raises(api.SipCallError):
        await dialer.dial()
    await dialer.dial()

    assert [invite.outcome for invite in gateway.invites()] == ["rejected", "answered"]
    assert [invite.outcome for invite in gateway.invites(since=1)] == ["answered"]


async def test_calls_beyond_the_trunk_rate_are_refused_before_the_callee_hears_of_them(
    gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.set_default({"final": "busy"}, throttle={"max_calls_per_second": 2})

    # One room each: a second `callee` in the same room would push the first one out.
    dialers = [replace(dialer, room=f"{dialer.room}-{n}") for n in range(4)]
    results = await asyncio.gather(*(one.dial() for one in dialers), return_exceptions=True)

    codes = Counter(result.sip_status_code for result in results if isinstance(result, api.SipCallError))
    assert codes == {486: 2, 503: 2}
    refused = [invite for invite in gateway.invites() if invite.status_code == 503]
    assert {invite.status_text for invite in refused} == {"CPS limit exceeded"}


async def test_calls_beyond_the_trunk_channels_are_refused_until_one_is_free(
    gateway: SipGateway, dialer: Dialer
) -> None:
    throttle_text = "Concurrent call limit exceeded"
    gateway.set_default({"callee": "silent"}, throttle={"max_concurrent": 1, "status": 429})
    first = await dialer.dial()

    with pytest.raises(api.SipCallError) as refused:
        await dialer.dial()
    assert (refused.value.sip_status_code, refused.value.sip_status) == (429, throttle_text)

    await eventually(lambda: not gateway.calls(), "the second leg took the identity, so the first is gone")
    assert gateway.call(first.sip_call_id).ended_by == "room"
    await dialer.dial()


# The conversation


async def test_voicemail_greets_and_beeps_audibly_and_then_listens(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.script_number(dialer.number, {"callee": "voicemail", "greeting": "Leave a message.", "record_ms": 500})
    async with listen_in(bench, dialer.room) as listener:
        await dialer.dial()
        await asyncio.wait_for(listener.left.get(), _WAIT_SECONDS)

        beep = listener.tone_seconds(1000)
        assert beep == pytest.approx(0.4, abs=0.11)
        assert listener.voiced_seconds() > beep + 0.5
        assert listener.tone_seconds(2100) == 0
    (invite,) = gateway.invites()
    assert [what for _, what in invite.events] == ["say Leave a message.", "tone"]
    assert invite.ended_by == "callee"


async def test_a_human_says_hello_and_what_the_test_makes_him_say(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    async with listen_in(bench, dialer.room) as listener:
        answered = await dialer.dial()
        await eventually(lambda: listener.voiced_seconds() > 0.2, "hello is heard")
        before = listener.voiced_seconds()
        await asyncio.to_thread(gateway.say, answered.sip_call_id, "I am not interested, thank you very much.")

        assert listener.voiced_seconds() > before + 1.0
    assert gateway.invites()[0].events[0][1] == "say Hello?"


async def test_a_fax_machine_answers_with_its_tone(bench: Bench, gateway: SipGateway, dialer: Dialer) -> None:
    gateway.script_number(dialer.number, {"callee": "fax", "hang_up_when_done": True})
    async with listen_in(bench, dialer.room) as listener:
        await dialer.dial()
        await asyncio.wait_for(listener.left.get(), _WAIT_SECONDS)

        assert listener.tone_seconds(2100) == pytest.approx(3.0, abs=0.2)


async def test_the_record_tells_when_the_callee_first_heard_the_agent(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.script_number(dialer.number, {"callee": "silent"})
    async with listen_in(bench, dialer.room) as agent:
        answered = await dialer.dial()
        await asyncio.sleep(0.7)
        assert gateway.call(answered.sip_call_id).agent_first_audio_ms is None

        await agent.speak_tone(440, seconds=1.0)
        await asyncio.sleep(0.3)

    heard = gateway.call(answered.sip_call_id)
    assert heard.agent_first_audio_ms is not None
    assert 600 < heard.agent_first_audio_ms < 2_500
    assert 800 <= heard.voiced_ms <= 1_200
    first_loud = next(step for step, level in enumerate(heard.envelope_dbfs) if level > -30)
    assert first_loud == pytest.approx(heard.agent_first_audio_ms / 100, abs=2)
    assert gateway.heard_wave(answered.sip_call_id).startswith(b"RIFF")


async def test_call_screening_asks_for_the_reason_and_puts_the_owner_through(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.script_number(dialer.number, {"callee": "screening", "greeting": "Who is it?", "hang_up_when_done": True})
    async with listen_in(bench, dialer.room) as agent:
        answered = await dialer.dial()
        asked = "say Who is it?"
        await eventually(lambda: asked in [what for _, what in gateway.call(answered.sip_call_id).events], "it asks")
        await asyncio.sleep(1.0)
        await agent.speak_tone(440, seconds=1.0)

        record = await eventually(ended(gateway, answered.sip_call_id), "the owner hangs up")

    said = [what for _, what in record.events]
    assert said == [asked, "the agent spoke", "say Stay on the line.", "tone", "say Hello?"]


async def test_digits_go_both_ways(bench: Bench, gateway: SipGateway, dialer: Dialer) -> None:
    gateway.script_number(dialer.number, {"callee": "silent", "dtmf": {"digits": "12", "after_ms": 200}})
    async with listen_in(bench, dialer.room) as agent:
        answered = await dialer.dial(dtmf="7")
        await agent.room.local_participant.publish_dtmf(code=9, digit="9")
        gateway.press(answered.sip_call_id, "#")

        await eventually(lambda: sorted(agent.digits) == ["#", "1", "2"], "the room gets the callee's digits")
        await eventually(
            lambda: gateway.call(answered.sip_call_id).dtmf_received == "79", "the callee gets the room's digits"
        )

    assert sorted(gateway.invites()[0].dtmf_sent) == ["#", "1", "2"]


# How answered calls end


async def test_a_callee_who_hangs_up_leaves_as_one_who_hung_up(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    async with listen_in(bench, dialer.room) as listener:
        answered = await dialer.dial()

        gateway.hang_up(answered.sip_call_id)
        gone = await asyncio.wait_for(listener.left.get(), _WAIT_SECONDS)

        assert int(gone.disconnect_reason or 0) == int(DisconnectReason.CLIENT_INITIATED)
        assert listener.statuses[-1] == "hangup"
    with pytest.raises(SipGatewayError, match="404"):
        gateway.hang_up(answered.sip_call_id)


async def test_a_call_dropped_in_the_middle_leaves_without_a_hangup(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.script_number(dialer.number, {"callee": "silent", "drop_after_ms": 400})
    async with listen_in(bench, dialer.room) as listener:
        answered = await dialer.dial()
        await asyncio.wait_for(listener.left.get(), _WAIT_SECONDS)

        # The server takes an unknown reason for CLIENT_INITIATED: only the missing "hangup" tells a drop.
        assert listener.statuses[-1] == "active"
    assert gateway.call(answered.sip_call_id).ended_by == "drop"


async def test_removing_the_callee_ends_the_call(gateway: SipGateway, dialer: Dialer) -> None:
    answered = await dialer.dial()

    await dialer.livekit.room.remove_participant(api.RoomParticipantIdentity(room=dialer.room, identity="callee"))

    record = await eventually(ended(gateway, answered.sip_call_id), "the phone hears it")
    assert record.ended_by == "room"


async def test_a_transfer_that_succeeds_lets_the_callee_go(gateway: SipGateway, dialer: Dialer) -> None:
    answered = await dialer.dial()

    await dialer.transfer("tel:+15550199")

    record = await eventually(ended(gateway, answered.sip_call_id), "the callee is let go")
    assert record.ended_by == "transfer"
    assert record.transfers == (("tel:+15550199", 200),)
    await dialer.wait_until_gone()


async def test_a_transfer_that_fails_says_why_and_keeps_the_call(gateway: SipGateway, dialer: Dialer) -> None:
    gateway.script_number(dialer.number, {"callee": "silent", "transfer": {"status": 486, "text": "Busy Here"}})
    await dialer.dial()

    with pytest.raises(api.SipCallError) as refused:
        await dialer.transfer("tel:+15550199")

    assert refused.value.sip_status_code == 486
    assert await dialer.callee() is not None


# Inbound


async def test_an_inbound_call_reaches_the_room_of_its_rule_and_dispatches_the_rules_agent(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    agents = [api.RoomAgentDispatch(agent_name="receptionist", metadata="front desk")]
    async with dialer.inbound_rule(api.RoomConfiguration(agents=agents)) as rule:
        call = gateway.ring_in("+15557777", dialer.number, {"callee": "silent"})
        assert (call.room, call.rule_id, call.outcome) == (dialer.room, rule.sip_dispatch_rule_id, "pending")
        caller = await dialer.participant(call.participant_identity)
        assert caller is not None
        assert caller.kind == ParticipantInfo.Kind.SIP
        assert caller.attributes["sip.ruleID"] == rule.sip_dispatch_rule_id
        assert caller.attributes["sip.phoneNumber"] == "+15557777"
        assert caller.attributes["sip.callStatus"] == "ringing"
        dispatches = await dialer.livekit.agent_dispatch.list_dispatch(dialer.room)
        assert [(one.agent_name, one.metadata) for one in dispatches] == [("receptionist", "front desk")]

        async with listen_in(bench, dialer.room) as agent:
            await agent.speak_tone(440, seconds=0.5)
            await eventually(lambda: gateway.call(call.id).state == "active", "somebody can be heard: answered")


async def test_an_inbound_caller_gives_up_when_nobody_answers(gateway: SipGateway, dialer: Dialer) -> None:
    async with dialer.inbound_rule(api.RoomConfiguration()):
        call = gateway.ring_in("+15557777", dialer.number, {"patience_ms": 500})

        record = await eventually(ended(gateway, call.id), "the caller hangs up")

    assert record.outcome == "no_answer"


async def test_an_inbound_call_without_a_rule_goes_nowhere(gateway: SipGateway, dialer: Dialer) -> None:
    call = gateway.ring_in("+15557777", dialer.number)

    assert (call.outcome, call.room) == ("rejected", "")


# When the gateway itself goes wrong


async def test_a_lost_reply_leaves_the_client_in_doubt_while_the_call_is_up(
    gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.set_fault("reply_lost", calls=1)

    with pytest.raises((TimeoutError, api.ServerError)):
        await dialer.dial(ring_seconds=1.0, give_up_seconds=1.0)

    await dialer.callee_once("active")
    assert [invite.outcome for invite in gateway.invites()] == ["answered"]


async def test_a_hanging_gateway_dials_nobody(gateway: SipGateway, dialer: Dialer) -> None:
    gateway.set_fault("hang", calls=1)

    with pytest.raises((TimeoutError, api.ServerError)):
        await dialer.dial(ring_seconds=1.0, give_up_seconds=1.0)

    assert await dialer.callee() is None
    assert [invite.outcome for invite in gateway.invites()] == ["hung"]


@pytest.mark.parametrize(
    ("fault", "recorded"),
    [
        ("crash_before_invite", []),
        ("crash_after_invite", ["pending"]),
        ("crash_after_answer", ["answered"]),
    ],
)
async def test_what_was_dialed_is_on_record_even_if_the_gateway_dies_right_after(
    gateway: SipGateway, dialer: Dialer, fault: str, recorded: list[str]
) -> None:
    gateway.set_fault(fault)

    with pytest.raises((TimeoutError, api.ServerError)):
        await dialer.dial(ring_seconds=1.0, give_up_seconds=1.0)

    assert gateway.process.wait(_WAIT_SECONDS) == 137
    assert [invite.outcome for invite in gateway.logged_invites()] == recorded
    assert all(invite.call_to == dialer.number for invite in gateway.logged_invites())


async def test_a_gateway_that_comes_back_remembers_what_it_dialed(
    bench: Bench, gateway: SipGateway, dialer: Dialer
) -> None:
    gateway.script_number(dialer.number, {"final": "busy"})
    with pytest.raises(api.SipCallError):
        await dialer.dial()
    gateway.kill()

    with start_sip_gateway(bench, invite_log=gateway.invite_log) as second:
        await dialer.dial()
        assert [(one.seq, one.outcome) for one in second.invites()] == [(1, "rejected"), (2, "answered")]


async def test_a_misspelled_behaviour_is_refused(gateway: SipGateway, dialer: Dialer) -> None:
    with pytest.raises(SipGatewayError, match="ringms"):
        gateway.script_number(dialer.number, {"ringms": 5})  # type: ignore[typeddict-unknown-key]
