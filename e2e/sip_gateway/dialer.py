"""A stock LiveKit client that dials through the gateway, with a trunk, a number and a room of its own."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from livekit import api
from livekit.protocol.models import ParticipantInfo

from e2e.sip_gateway.client import SupportsSipGateway

CALLER_NUMBER = "+15550001"
_LOOK_SECONDS = 0.02
_LOOKS = 100


@dataclass(frozen=True, slots=True)
class Dialer:
    """Dials `number` into `room` as the participant `callee`."""

    livekit: api.LiveKitAPI
    trunk_id: str
    number: str
    room: str

    async def dial(
        self, *, ring_seconds: float = 5.0, wait: bool = True, give_up_seconds: float | None = None, dtmf: str = ""
    ) -> api.SIPParticipantInfo:
        """Place the call. The stock client raises what the server says."""
        request = api.CreateSIPParticipantRequest(
            sip_trunk_id=self.trunk_id,
            sip_call_to=self.number,
            room_name=self.room,
            participant_identity="callee",
            participant_attributes={"campaign": "spring"},
            headers={"X-Attempt": "1"},
            wait_until_answered=wait,
            ringing_timeout=_duration(ring_seconds),
            dtmf=dtmf,
        )
        return await self.livekit.sip.create_sip_participant(request, timeout=give_up_seconds)

    async def transfer(self, to: str) -> None:
        """Send a REFER to the callee."""
        await self.livekit.sip.transfer_sip_participant(
            api.TransferSIPParticipantRequest(room_name=self.room, participant_identity="callee", transfer_to=to)
        )

    async def callee(self) -> ParticipantInfo | None:
        """The callee as the server sees it."""
        return await self.participant("callee")

    async def callee_once(self, status: str) -> ParticipantInfo:
        """The callee with a status: an answered call may return a moment before the room knows of it."""
        callee = await self._look_until(lambda seen: _status(seen) == status, f"the callee is not {status}")
        assert callee is not None
        return callee

    async def wait_until_gone(self) -> None:
        """Return when the server has let the callee go: a failed call returns a few ms before that."""
        await self._look_until(lambda seen: seen is None, "the callee is still there")

    async def _look_until(
        self, is_so: Callable[[ParticipantInfo | None], bool], otherwise: str
    ) -> ParticipantInfo | None:
        for _ in range(_LOOKS):
            callee = await self.callee()
            if is_so(callee):
                return callee
            await asyncio.sleep(_LOOK_SECONDS)
        raise AssertionError(f"{otherwise} in {self.room}")

    async def participant(self, identity: str) -> ParticipantInfo | None:
        """Anybody in the room."""
        listed = await self.livekit.room.list_participants(api.ListParticipantsRequest(room=self.room))
        return next((one for one in listed.participants if one.identity == identity), None)

    async def delete_room(self) -> None:
        """End the room, if there is one."""
        with contextlib.suppress(api.ServerError):
            await self.livekit.room.delete_room(api.DeleteRoomRequest(room=self.room))

    @contextlib.asynccontextmanager
    async def inbound_rule(self, config: api.RoomConfiguration) -> AsyncIterator[api.SIPDispatchRuleInfo]:
        """Send calls to this number to this room, for the length of an `async with` block."""
        sip = self.livekit.sip
        trunk = await sip.create_inbound_trunk(
            api.CreateSIPInboundTrunkRequest(trunk=api.SIPInboundTrunkInfo(name="in", numbers=[self.number]))
        )
        direct = api.SIPDispatchRule(dispatch_rule_direct=api.SIPDispatchRuleDirect(room_name=self.room))
        info = api.SIPDispatchRuleInfo(rule=direct, trunk_ids=[trunk.sip_trunk_id], room_config=config)
        rule = await sip.create_dispatch_rule(api.CreateSIPDispatchRuleRequest(dispatch_rule=info))
        try:
            yield rule
        finally:
            rule_id = rule.sip_dispatch_rule_id
            await sip.delete_dispatch_rule(api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule_id))
            await sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=trunk.sip_trunk_id))


@contextlib.asynccontextmanager
async def rent_trunk(bench: SupportsSipGateway) -> AsyncIterator[Dialer]:
    """A dialer for the length of an `async with` block; nobody else calls its number."""
    livekit = bench.livekit
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret, failover=False) as client:
        info = api.SIPOutboundTrunkInfo(name="bench", address="sip.example.org", numbers=[CALLER_NUMBER])
        trunk = await client.sip.create_outbound_trunk(api.CreateSIPOutboundTrunkRequest(trunk=info))
        number = f"+1555{secrets.randbelow(10**7):07}"
        dialer = Dialer(client, trunk.sip_trunk_id, number, f"call-{secrets.token_hex(4)}")
        try:
            yield dialer
        finally:
            await dialer.delete_room()
            await client.sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=trunk.sip_trunk_id))


def _duration(seconds: float) -> Duration:
    whole, rest = divmod(seconds, 1)
    return Duration(seconds=int(whole), nanos=int(rest * 1e9))


def _status(participant: ParticipantInfo | None) -> str | None:
    return participant.attributes.get("sip.callStatus") if participant is not None else None
