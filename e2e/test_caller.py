"""The stand-in caller tells the truth about calls that go well and calls that don't.

The agent is a plain participant that beeps when told to, so that what the caller should hear is known.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from livekit import api, rtc

from e2e.caller import Caller, Cut, Dispatch, Line
from e2e.caller.caller import AGENT_STATE
from e2e.caller.line import Seat
from e2e.caller.report import CutKind, EndReason

RATE_HZ = 48_000
FRAME_SAMPLES = RATE_HZ // 50
TONE = (6000 * np.sin(2 * np.pi * 440 * np.arange(FRAME_SAMPLES) / RATE_HZ)).astype("<i2").tobytes()
QUIET = bytes(FRAME_SAMPLES * 2)


class Beeper:
    """An agent that is there and beeps."""

    def __init__(self, line: Line, room: str) -> None:
        self._line = line
        self._room_name = room
        self.room = rtc.Room()
        self.source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        self.track_sid = ""

    async def join(self) -> None:
        grants = api.VideoGrants(room_join=True, room=self._room_name, can_update_own_metadata=True)
        token = api.AccessToken(self._line.api_key, self._line.api_secret).with_identity("beeper").with_kind("agent")
        await self.room.connect(self._line.url, token.with_grants(grants).to_jwt())
        track = rtc.LocalAudioTrack.create_audio_track("voice", self.source)
        publication = await self.room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        )
        self.track_sid = publication.sid

    async def beep(self, *seconds: float) -> None:
        """Sound, silence, sound… as one utterance; the first is sound."""
        await self.room.local_participant.set_attributes({AGENT_STATE: "speaking"})
        await asyncio.sleep(0.2)
        for number, length in enumerate(seconds):
            pcm = QUIET if number % 2 else TONE
            for _ in range(int(length * 50)):
                await self.source.capture_frame(rtc.AudioFrame(pcm, RATE_HZ, 1, FRAME_SAMPLES))
        await self.source.wait_for_playout()
        await self.room.local_participant.set_attributes({AGENT_STATE: "listening"})

    async def meet(self) -> rtc.RemoteParticipant:
        """Wait for the caller and for the caller's microphone."""
        async with asyncio.timeout(10):
            while True:
                for participant in self.room.remote_participants.values():
                    if any(publication.track for publication in participant.track_publications.values()):
                        return participant
                await asyncio.sleep(0.05)

    async def leave(self) -> None:
        await self.room.disconnect()
        await self.source.aclose()


@asynccontextmanager
async def call(line: Line) -> AsyncIterator[tuple[Caller, Beeper]]:
    seat = Seat.made_up("nobody")
    beeper = Beeper(line, seat.room)
    await beeper.join()
    try:
        async with Caller(line, seat=seat, dispatch=Dispatch.NONE, gap_ms=700) as caller:
            yield caller, beeper
    finally:
        await beeper.leave()


def kinds(cuts: tuple[Cut, ...]) -> list[CutKind]:
    return [cut.kind for cut in cuts]


async def test_a_turn_is_timed_from_the_end_of_the_callers_speech(line: Line) -> None:
    async with call(line) as (caller, beeper):
        talking = asyncio.create_task(caller.say("Hello there, are you open today?"))
        await asyncio.sleep(3.5)
        await beeper.beep(1.5)
        turn = await talking
    report = caller.report()

    assert 1.2 < turn.heard_seconds < 1.9
    assert turn.response_ms is not None
    assert 500 < turn.response_ms < 3500
    assert (report.cuts, report.end_reason, len(report.turns)) == ((), EndReason.HUNG_UP, 1)
    assert json.loads(json.dumps(report.as_json()))["turns"][0]["said"] == "Hello there, are you open today?"
    assert "Hello there" in report.as_text()


async def test_the_agent_hears_what_is_said_and_silence_round_it(line: Line) -> None:
    async with call(line) as (caller, beeper):
        participant = await beeper.meet()
        assert participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
        publication = next(iter(participant.track_publications.values()))
        assert publication.track is not None
        stream = rtc.AudioStream(publication.track, sample_rate=16_000, num_channels=1, frame_size_ms=20)
        talking = asyncio.create_task(caller.say("One two three four.", answer=False))
        loud = []
        async with asyncio.timeout(20):
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).astype(np.float32)
                loud.append(bool(np.sqrt(np.mean(samples**2)) > 300))
                if talking.done() and not any(loud[-25:]):
                    break
        await stream.aclose()

    assert 0.6 < sum(loud) * 0.02 < 3
    assert not loud[-1]


async def test_a_pause_within_an_utterance_is_a_gap_and_one_between_two_is_not(line: Line) -> None:
    async with call(line) as (caller, beeper):
        await asyncio.gather(caller.listen(), beeper.beep(0.5, 0.3, 0.5))
        await asyncio.gather(caller.listen(), beeper.beep(0.5))
        assert kinds(caller.cuts) == []
        await asyncio.gather(caller.listen(), beeper.beep(0.5, 1.2, 0.5))

    gap = caller.cuts[-1]
    assert kinds(caller.cuts) == [CutKind.GAP]
    assert 900 < float(gap.detail.removesuffix(" ms")) < 1500


async def test_an_agent_that_leaves_has_cut_the_call(line: Line) -> None:
    async with call(line) as (caller, beeper):
        await beeper.room.disconnect()
        assert not await caller.hold(10)

    assert CutKind.AGENT_LEFT in kinds(caller.cuts)
    assert caller.report().end_reason is EndReason.AGENT_LEFT


async def test_a_track_that_ends_is_a_cut_but_no_end(line: Line) -> None:
    async with call(line) as (caller, beeper):
        await beeper.room.local_participant.unpublish_track(beeper.track_sid)
        assert await caller.hold(2)

    assert kinds(caller.cuts) == [CutKind.TRACK_ENDED]
    assert caller.report().end_reason is EndReason.HUNG_UP


async def test_a_room_that_is_deleted_is_a_cut(line: Line) -> None:
    async with call(line) as (caller, _):
        async with api.LiveKitAPI(line.http_url, line.api_key, line.api_secret) as livekit:
            await livekit.room.delete_room(api.DeleteRoomRequest(room=caller.seat.room))
        assert not await caller.hold(10)

    assert {CutKind.ROOM_DELETED, CutKind.AGENT_LEFT} & set(kinds(caller.cuts))


async def test_nobody_answers(line: Line) -> None:
    async with Caller(line, seat=Seat.made_up("nobody.at-all"), join_timeout_seconds=2) as caller:
        turn = await caller.say("Anybody there?")

    report = caller.report()
    assert (report.end_reason, report.cuts, report.agent_identity) == (EndReason.NO_AGENT, (), "")
    assert turn.response_ms is None


async def test_a_caller_may_come_by_phone(line: Line) -> None:
    seat = Seat("phone-room", "sip_1", "nobody", attributes={"sip.phoneNumber": "+49301234567"}, sip=True)
    beeper = Beeper(line, seat.room)
    await beeper.join()
    async with Caller(line, seat=seat, dispatch=Dispatch.NONE):
        participant = await beeper.meet()
        assert participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP
        assert participant.attributes["sip.phoneNumber"] == "+49301234567"
    await beeper.leave()
