"""A worker on the phone: callers come in over the SIP gateway, press keys, are put through, and rate the call."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from livekit import api

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.caller.line import Dispatch, Seat
from e2e.caller.report import EndReason
from e2e.providers import Control, Providers
from e2e.sip_gateway.client import SipGateway, start_sip_gateway
from e2e.sip_gateway.dialer import CALLER_NUMBER, Dialer, rent_trunk
from e2e.sip_gateway.records import Behaviour, CallRecord
from e2e.working import Worker, ready, run_worker, write_files

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("control")]

COLLEAGUE = "+15550177"
SALES = "+15550178"
PHONE = "+15557777"
WAIT_SECONDS = 60.0
HOURS = "You have reached our hours desk. We are open from nine to five."
QUIET: Behaviour = {"callee": "silent"}


@pytest.fixture(scope="module")
def gateway(bench: Bench) -> Iterator[SipGateway]:
    with start_sip_gateway(bench) as running:
        yield running


@pytest.fixture(autouse=True)
def _well_behaved_gateway(gateway: SipGateway) -> None:
    gateway.reset()
    gateway.forget()


@pytest.fixture(scope="module")
def trunk_id(bench: Bench) -> str:
    async def rent() -> str:
        livekit = bench.livekit
        async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret, failover=False) as client:
            info = api.SIPOutboundTrunkInfo(name="people", address="sip.example.org", numbers=[CALLER_NUMBER])
            made = await client.sip.create_outbound_trunk(api.CreateSIPOutboundTrunkRequest(trunk=info))
        return str(made.sip_trunk_id)

    return asyncio.run(rent())


@pytest.fixture(scope="module")
def worker(
    bench: Bench, providers: Providers, trunk_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    arguments = write_files(folder, bench, providers, "phone")
    agent, pool = (json.loads((folder / f"{name}.json").read_text()) for name in ("agent", "pool"))
    pool["spec"]["trunks"] = [{"name": "people", "trunkId": trunk_id}]
    warm = {"number": COLLEAGUE, "mode": "Warm", "announcement": "I will ask a colleague.", "ringingTimeoutSeconds": 5}
    agent["spec"] |= {
        "telephony": {
            "transfer": {"number": COLLEAGUE},
            "dtmf": {
                "interDigitTimeoutMilliseconds": 1000,
                "actions": [{"digits": "2", "transferTo": SALES}, {"digits": "8", "agent": "hours"}],
            },
        },
        "tools": [
            {"name": "colleague", "description": "d", "builtin": {"type": "Transfer", "transfer": warm}},
            {
                "name": "rate",
                "description": "d",
                "builtin": {"type": "CollectFeedback", "feedback": {"question": "How was it?", "scale": 5}},
            },
            {"name": "keys", "description": "d", "builtin": {"type": "SendDtmf"}},
        ],
    }
    agent["spec"]["agents"][0]["tools"] = ["colleague", "rate", "keys"]
    agent["spec"]["agents"].append({"name": "hours", "instructions": "Be kind.", "greeting": {"text": HOURS}})
    (folder / "agent.json").write_text(json.dumps(agent))
    (folder / "pool.json").write_text(json.dumps(pool))
    with run_worker(folder, arguments, "phone") as running:
        yield running


@dataclass
class PhoneCall:
    """A call that came in over the gateway, and the agent that took it."""

    gateway: SipGateway
    dialer: Dialer
    id: str

    @property
    def record(self) -> CallRecord:
        return self.gateway.call(self.id)

    async def press(self, keys: str) -> None:
        await asyncio.to_thread(self.gateway.press, self.id, keys)

    async def names(self) -> set[str]:
        listed = await self.dialer.livekit.room.list_participants(api.ListParticipantsRequest(room=self.dialer.room))
        return {"agent" if one.identity.startswith("agent-") else one.identity for one in listed.participants}


async def eventually(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not await asyncio.to_thread(is_so):
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}")
        await asyncio.sleep(0.1)


@asynccontextmanager
async def phone_call(
    bench: Bench, gateway: SipGateway, worker: Worker, behaviour: Behaviour
) -> AsyncIterator[PhoneCall]:
    """Let a phone call come in, and wait until the agent has greeted."""
    await ready(worker)
    async with (
        rent_trunk(bench) as dialer,
        dialer.inbound_rule(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=worker.agent)])),
    ):
        came = await asyncio.to_thread(gateway.ring_in, PHONE, dialer.number, behaviour)
        call = PhoneCall(gateway, dialer, came.id)
        await eventually(lambda: call.record.voiced_ms > 1500, "the agent greets")
        yield call


def ends(worker: Worker) -> list[tuple[str, str]]:
    """Return why calls ended, and what they were doing."""
    told = [record for record in worker.records() if record["message"] == "call ends"]
    return [(record["reason"], record["state"]) for record in told]


async def test_the_key_for_a_person_puts_a_phone_caller_through(
    bench: Bench, gateway: SipGateway, worker: Worker
) -> None:
    async with phone_call(bench, gateway, worker, QUIET) as call:
        await call.press("0")
        await eventually(lambda: bool(call.record.transfers), "a transfer is asked for")
        await eventually(lambda: bool(ends(worker)), "the agent's job ends")
        await eventually(lambda: call.record.ended_at is not None, "the caller is let go")

    assert call.record.transfers == ((f"tel:{COLLEAGUE}", 200),)
    assert call.record.ended_by == "transfer"
    assert ends(worker)[-1] == ("transferred", "Referring")


async def test_a_key_of_its_own_leads_to_another_number(bench: Bench, gateway: SipGateway, worker: Worker) -> None:
    async with phone_call(bench, gateway, worker, QUIET) as call:
        await call.press("2")
        await eventually(lambda: bool(call.record.transfers), "a transfer is asked for")

    assert call.record.transfers == ((f"tel:{SALES}", 200),)


async def test_a_caller_whose_transfer_fails_hears_the_agent_again(
    bench: Bench, gateway: SipGateway, worker: Worker, providers: Providers
) -> None:
    Control(providers.control_url).set_rules([
        {"match": "the line is busy", "on": "instructions", "reply": "My colleague is busy at the moment."}
    ])  # fmt: skip
    async with phone_call(bench, gateway, worker, {**QUIET, "transfer": {"status": 486, "text": "Busy Here"}}) as call:
        await call.press("0")
        await eventually(lambda: bool(call.record.transfers), "a transfer is asked for")
        before = call.record.voiced_ms
        await eventually(lambda: call.record.voiced_ms > before + 1000, "the agent is heard again")

        assert call.record.ended_at is None
        assert len(call.record.transfers) == 1
        assert "agent" in await call.names()


async def test_other_keys_are_read_by_the_agent(
    bench: Bench, gateway: SipGateway, worker: Worker, providers: Providers
) -> None:
    control = Control(providers.control_url)
    control.set_rules([{"match": r"pressed 4 0 7\.", "reply": "Four, zero, seven. Thank you very much for that."}])
    async with phone_call(bench, gateway, worker, QUIET) as call:
        await call.press("407")
        before = call.record.voiced_ms
        await eventually(lambda: call.record.voiced_ms > before + 1500, "the agent answers the keys")

        assert call.record.transfers == ()


async def test_keys_that_the_agent_presses_are_heard_at_the_other_end(
    bench: Bench, gateway: SipGateway, worker: Worker, control: Control
) -> None:
    keys = "0147*#AD0"
    control.set_rules([
        {"match": "pressed 5", "tool_call": call_of("keys", digits=keys)},
        {"match": "keys were pressed", "on": "tool", "reply": "I have pressed the keys for you."},
    ])  # fmt: skip
    async with phone_call(bench, gateway, worker, QUIET) as call:
        await call.press("5")
        await eventually(lambda: len(call.record.dtmf_received) >= len(keys), "the keys arrive")
        before = call.record.voiced_ms
        await eventually(lambda: call.record.voiced_ms > before + 1000, "the agent says that it is done")

        assert call.record.dtmf_received == keys
        assert call.record.ended_at is None


# Warm: callers and colleagues who talk to each other, with the agent gone


def call_of(tool: str, **arguments: int | str) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments}


def ask_for(control: Control, tool: str, *rules: dict[str, Any]) -> None:
    control.set_rules([{"match": "pressed 5", "tool_call": call_of(tool)}, *rules])


async def test_a_colleague_is_dialed_into_the_call_introduced_and_left_with_the_caller(
    bench: Bench, gateway: SipGateway, worker: Worker, providers: Providers
) -> None:
    intro = "This is a caller with a toothache. I leave you to it."
    ask_for(Control(providers.control_url), "colleague", {"match": "colleague", "on": "instructions", "reply": intro})
    gateway.script_number(COLLEAGUE, QUIET)
    async with phone_call(bench, gateway, worker, QUIET) as call:
        done = len(ends(worker))
        await call.press("5")
        await eventually(lambda: bool(gateway.invites()), "the colleague is dialed")
        await eventually(lambda: len(ends(worker)) > done, "the agent's job ends")
        await asyncio.sleep(3)

        (invite,) = gateway.invites()
        person = gateway.call(invite.id)
        assert (invite.call_to, invite.outcome, invite.ended_at) == (COLLEAGUE, "answered", None)
        assert person.voiced_ms > 1500, "the colleague hears whom they are put through to"
        assert ends(worker)[-1] == ("transferred", "Meeting")
        assert await call.names() == {call.record.participant_identity, "person"}
        heard = call.record.voiced_ms
        await asyncio.to_thread(gateway.say, invite.id, "Hello, you are speaking to a person now, how can I help?")
        assert call.record.voiced_ms > heard + 1500, "caller and colleague go on by themselves"
        assert call.record.ended_at is None


async def test_a_colleague_who_does_not_pick_up_leaves_the_caller_with_the_agent(
    bench: Bench, gateway: SipGateway, worker: Worker, providers: Providers
) -> None:
    ask_for(
        Control(providers.control_url),
        "colleague",
        {"match": "nobody picked up", "on": "tool", "reply": "Nobody picked up, I am sorry about that."},
    )
    gateway.script_number(COLLEAGUE, {"final": "no_answer"})
    async with phone_call(bench, gateway, worker, QUIET) as call:
        await call.press("5")
        await eventually(lambda: [i for i in gateway.invites() if i.ended_at] != [], "the phone rings for nobody")
        before = call.record.voiced_ms
        await eventually(lambda: call.record.voiced_ms > before + 1200, "the agent is heard again")

        assert [invite.outcome for invite in gateway.invites()] == ["no_answer"]
        assert await call.names() == {call.record.participant_identity, "agent"}


async def test_a_phone_does_not_ring_on_for_a_caller_who_hung_up(
    bench: Bench, gateway: SipGateway, worker: Worker, providers: Providers
) -> None:
    ask_for(Control(providers.control_url), "colleague")
    gateway.script_number(COLLEAGUE, {"final": "no_answer"})
    async with phone_call(bench, gateway, worker, QUIET) as call:
        done = len(ends(worker))
        await call.press("5")
        await eventually(lambda: [c for c in gateway.calls() if c.state == "ringing"] != [], "the colleague's rings")
        gateway.hang_up(call.id)
        await eventually(lambda: len(ends(worker)) > done, "the agent's job ends")
        await eventually(lambda: gateway.invites()[0].ended_at is not None, "it rings no more")

    (invite,) = gateway.invites()
    assert invite.outcome == "canceled"
    assert ends(worker)[-1] == ("caller left", "Dialing")


async def test_a_caller_in_a_browser_presses_keys_and_talks_to_a_colleague(
    gateway: SipGateway, worker: Worker, providers: Providers, line: Line
) -> None:
    ask_for(Control(providers.control_url), "colleague")
    gateway.script_number(COLLEAGUE, QUIET)
    await ready(worker)
    made_up = Seat.made_up(worker.agent)
    async with Caller(line, seat=made_up, dispatch=Dispatch.TOKEN) as caller:
        await caller.listen()
        await caller.press("5")
        await eventually(lambda: bool(gateway.invites()) and gateway.invites()[0].outcome == "answered", "is dialed")
        await caller.hold(30)
        assert caller.report().end_reason is EndReason.AGENT_LEFT, "and the room is still there"
        assert [call.state for call in gateway.calls()] == ["active"]


async def test_a_key_hands_over_to_another_agent_that_goes_on(worker: Worker, control: Control, line: Line) -> None:
    control.set_rules([{"match": "open", "reply": "At the weekend as well."}])
    await ready(worker)
    async with Caller(line, seat=Seat.made_up(worker.agent), dispatch=Dispatch.TOKEN) as caller:
        await caller.listen()
        await caller.press("8")
        taken_over = await caller.listen(timeout_seconds=WAIT_SECONDS)
        turn = await caller.say("When are you open?", timeout_seconds=40)
    print(caller.report().as_text())

    assert taken_over.agent_text == HOURS
    assert turn.agent_text == "At the weekend as well."
    assert caller.report().cuts == ()


async def test_a_rating_is_asked_for(worker: Worker, providers: Providers, line: Line) -> None:
    rules = [{"match": "open", "tool_call": call_of("rate")}]
    rules += [{"match": "How was it", "on": "tool", "tool_call": call_of("rate", rating=4)}]
    Control(providers.control_url).set_rules(rules)
    await ready(worker)
    async with Caller(line, seat=Seat.made_up(worker.agent)) as caller:
        await caller.listen()
        turn = await caller.say("When are you open?", timeout_seconds=40)

    assert "The rating was noted" in turn.agent_text
    assert caller.report().cuts == ()
