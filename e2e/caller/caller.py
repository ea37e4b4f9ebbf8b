"""One caller, from joining to hanging up."""

import asyncio
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from livekit import rtc

from e2e.caller.ear import Ear
from e2e.caller.line import Dispatch, Line, Seat, build_token, dispatch_agent
from e2e.caller.mouth import Mouth
from e2e.caller.notepad import TOPIC, Notepad
from e2e.caller.report import CallReport, Cut, CutKind, EndReason, Turn
from e2e.providers.espeak import Voice

AGENT_STATE = "lk.agent.state"
BACKGROUND = "background_audio"
_BUSY_STATES = ("thinking", "speaking", "initializing")
_LOOK_SECONDS = 0.02
_KEYS = "0123456789*#ABCD"
_END_BY_CUT = {
    CutKind.AGENT_LEFT: EndReason.AGENT_LEFT,
    CutKind.TRACK_ENDED: EndReason.TRACK_ENDED,
    CutKind.ROOM_DELETED: EndReason.ROOM_DELETED,
    CutKind.DISCONNECTED: EndReason.DISCONNECTED,
}
_VOICE = Voice()
"""Shared, since it remembers sentences: twenty callers with one script run espeak-ng once for each."""


class Caller:
    """Joins on entering the block, hangs up on leaving it. Everything that was taken away from it is a cut."""

    def __init__(
        self,
        line: Line,
        *,
        seat: Seat,
        dispatch: Dispatch = Dispatch.TOKEN,
        quiet_ms: float = 900,
        gap_ms: float = 2500,
        join_timeout_seconds: float = 30,
    ) -> None:
        self.seat = seat
        self._line = line
        self._dispatch = dispatch
        self._quiet_seconds = quiet_ms / 1000
        self._join_timeout_seconds = join_timeout_seconds
        self._began_seconds = 0.0
        self._joined_ms = 0.0
        self._agent: rtc.RemoteParticipant | None = None
        self._agent_heard = asyncio.Event()
        self._over = asyncio.Event()
        self._ended_seconds: float | None = None
        self._end_reason: EndReason | None = None
        self._cuts: list[Cut] = []
        self._turns: list[Turn] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.background: list[rtc.Track] = []
        """Tracks on which the agent plays what it does not say."""
        self._mouth = Mouth(_VOICE)
        self._ear = Ear(gap_ms=gap_ms, on_gap=lambda silence: self._cut(CutKind.GAP, f"{silence * 1000:.0f} ms"))
        self._notepad = Notepad(self.seat.identity)
        self._room = rtc.Room()

    async def __aenter__(self) -> Self:
        try:
            await self.join()
        except BaseException:
            await self._clean_up()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hang_up()

    @property
    def over(self) -> bool:
        """Whether the call has ended, by whomever."""
        return self._over.is_set()

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """What was taken away so far."""
        return tuple(self._cuts)

    @property
    def agent_identity(self) -> str:
        """Who answered; empty while nobody did."""
        return self._agent.identity if self._agent else ""

    async def join(self) -> None:
        """Join, open the microphone, and wait until the agent can be heard; an agent that never comes ends the call."""
        self._began_seconds = time.monotonic()
        self._listen_to_room()
        if self._dispatch is Dispatch.EXPLICIT:
            await dispatch_agent(self._line, self.seat)
        await self._room.connect(self._line.url, build_token(self._line, self.seat, self._dispatch))
        for participant in self._room.remote_participants.values():
            self._note_participant(participant)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._mouth.source)
        await self._room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, red=False)
        )
        self._start(self._mouth.run())
        await self._wait(self._agent_heard, self._join_timeout_seconds)
        self._joined_ms = (time.monotonic() - self._began_seconds) * 1000
        if not self._agent_heard.is_set():
            self._end(EndReason.NO_AGENT)

    async def listen(self, *, timeout_seconds: float = 20) -> Turn:
        """Say nothing and take in what the agent says, such as its greeting."""
        return await self._take_turn("", self._elapsed(), time.monotonic(), timeout_seconds)

    async def say(self, text: str, *, timeout_seconds: float = 20, answer: bool = True) -> Turn:
        """Say a sentence and take in the answer to its end; without one, after the time-out."""
        self._mark()
        began = self._elapsed()
        end_seconds = time.monotonic() if self.over else await self._mouth.say(text)
        return await self._take_turn(text, began, end_seconds, timeout_seconds if answer else 0)

    async def press(self, keys: str) -> None:
        """Press keys of the phone."""
        for key in keys:
            await self._room.local_participant.publish_dtmf(code=_KEYS.index(key), digit=key)

    async def hold(self, seconds: float) -> bool:
        """Stay on the line and say nothing; tell whether the call is still there afterwards."""
        await self._wait(self._over, seconds)
        return not self.over

    async def hang_up(self) -> None:
        """Leave; whatever happens to the room afterwards is no cut."""
        self._end(EndReason.HUNG_UP)
        await self._clean_up()

    def report(self) -> CallReport:
        """Return what the call was like so far."""
        return CallReport(
            room=self.seat.room,
            identity=self.seat.identity,
            agent_identity=self.agent_identity,
            joined_ms=round(self._joined_ms, 1),
            turns=tuple(self._turns),
            cuts=self.cuts,
            end_reason=self._end_reason,
            seconds=round(self._ended_seconds if self._ended_seconds is not None else self._elapsed(), 2),
        )

    async def _take_turn(self, said: str, began_seconds: float, from_seconds: float, timeout_seconds: float) -> Turn:
        await self._await_answer(timeout_seconds)
        heard = self._ear.heard
        first = heard.first_seconds
        turn = Turn(
            said=said,
            began_seconds=round(began_seconds, 2),
            response_ms=None if first is None else round((first - from_seconds) * 1000, 1),
            heard_seconds=round(heard.loud_seconds, 2),
            agent_text=self._notepad.agent_text,
            understood=self._notepad.own_text,
            first_sound_at=None if first is None else time.time() - time.monotonic() + first,
        )
        self._turns.append(turn)
        self._mark()
        return turn

    async def _await_answer(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        # Frames arrive all the time, so looking is cheaper than being told.
        for _ in range(int(timeout_seconds / _LOOK_SECONDS)):
            if self.over or self._answered() or time.monotonic() > deadline:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _answered(self) -> bool:
        """Quiet after sound, and an agent that does not say it is about to go on."""
        quiet = self._ear.heard.first_seconds is not None and (
            self._ear.quiet_seconds(time.monotonic()) >= self._quiet_seconds
        )
        return quiet and self._agent_state() not in _BUSY_STATES

    def _mark(self) -> None:
        self._ear.mark()
        self._notepad.mark()

    def _agent_state(self) -> str:
        return self._agent.attributes.get(AGENT_STATE, "") if self._agent else ""

    def _listen_to_room(self) -> None:
        room = self._room
        room.register_text_stream_handler(TOPIC, self._notepad.handler())
        room.on("participant_connected", self._note_participant)
        room.on("participant_disconnected", self._on_participant_left)
        room.on("participant_attributes_changed", self._on_attributes)
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", self._on_track_gone)
        room.on("disconnected", self._on_disconnected)

    def _is_agent(self, participant: rtc.Participant) -> bool:
        return participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT

    def _note_participant(self, participant: rtc.RemoteParticipant) -> None:
        if self._agent is None and self._is_agent(participant):
            self._agent = participant

    def _on_track(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._note_participant(participant)
        if publication.name == BACKGROUND:
            # It tells nothing of who speaks.
            self.background.append(track)
        elif track.kind == rtc.TrackKind.KIND_AUDIO and participant.identity == self.agent_identity:
            self._start(self._ear.listen(track))
            self._agent_heard.set()

    def _on_track_gone(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        is_voice = track.kind == rtc.TrackKind.KIND_AUDIO and publication.name != BACKGROUND
        if is_voice and participant.identity == self.agent_identity:
            self._cut(CutKind.TRACK_ENDED)

    def _on_participant_left(self, participant: rtc.RemoteParticipant) -> None:
        if self.agent_identity and participant.identity == self.agent_identity:
            self._cut(CutKind.AGENT_LEFT)

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        if AGENT_STATE in changed and participant.identity == self.agent_identity:
            self._ear.note_state(participant.attributes.get(AGENT_STATE, ""))

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        name = rtc.DisconnectReason.Name(reason)
        kind = CutKind.ROOM_DELETED if name == "ROOM_DELETED" else CutKind.DISCONNECTED
        self._cut(kind, "" if kind is CutKind.ROOM_DELETED else name.lower())

    def _cut(self, kind: CutKind, detail: str = "") -> None:
        """Note what was taken away; after we have hung up nothing is."""
        if self._end_reason in (EndReason.HUNG_UP, EndReason.NO_AGENT):
            return
        self._cuts.append(Cut(kind, round(self._elapsed(), 2), detail))
        if kind in _END_BY_CUT and kind is not CutKind.TRACK_ENDED:
            self._end(_END_BY_CUT[kind])

    def _end(self, reason: EndReason) -> None:
        if self._end_reason is None:
            self._end_reason = reason
            self._ended_seconds = self._elapsed()
        self._over.set()

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, the end of the call or the time, whichever is first."""
        waiting = {asyncio.create_task(event.wait()), asyncio.create_task(self._over.wait())}
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _clean_up(self) -> None:
        self._notepad.close()
        # Microphone first: sound on its way while the library goes down makes it abort the process.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._mouth.source.clear_queue()
        await self._room.disconnect()
        await self._mouth.source.aclose()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began_seconds


class PatientCaller(Caller):
    """One to whom an agent that goes may come back, as it does whose line was broken: with another track."""

    def _on_participant_left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self.agent_identity:
            self._agent = None

    def _on_track_gone(self, *_: object) -> None:
        """Take it for no cut."""
