"""Somebody in the room with the callee: hears, speaks, and sees attributes change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from livekit import api, rtc

from e2e.sip_gateway.client import SupportsSipGateway

RATE = 16_000
_FRAME_SECONDS = 0.02
_WINDOW_SECONDS = 0.05
_TONE_SHARE = 0.8


@dataclass(slots=True)
class RoomListener:
    """One participant; `samples` is all it heard of others, `statuses` each `sip.callStatus` in order."""

    room: rtc.Room
    samples: list[npt.NDArray[np.int16]] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    digits: str = ""
    left: asyncio.Queue[rtc.RemoteParticipant] = field(default_factory=asyncio.Queue)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to hear and see; call it before connecting."""
        self.room.on("track_subscribed", self._on_track)
        self.room.on("sip_dtmf_received", self._on_dtmf)
        self.room.on("participant_connected", self._on_joined)
        self.room.on("participant_disconnected", self.left.put_nowait)
        self.room.on("participant_attributes_changed", self._on_attributes)

    def heard(self) -> npt.NDArray[np.int16]:
        """All audio until now."""
        return np.concatenate(self.samples) if self.samples else np.zeros(0, np.int16)

    def tone_seconds(self, hertz: float) -> float:
        """How long a pure tone of this frequency was heard."""
        window = int(RATE * _WINDOW_SECONDS)
        audio = self.heard().astype(np.float64)
        frames = audio[: len(audio) // window * window].reshape(-1, window)
        times = np.arange(window) / RATE
        # Goertzel's sum: the share of a frame's energy that lies in one frequency.
        energy = np.abs(frames @ np.exp(-2j * np.pi * hertz * times)) ** 2 * 2 / window
        total = (frames**2).sum(axis=1)
        loud = total > window * 1000.0**2
        return float((loud & (energy > _TONE_SHARE * np.maximum(total, 1.0))).sum() * _WINDOW_SECONDS)

    def voiced_seconds(self) -> float:
        """How long anything was heard at all."""
        window = int(RATE * _WINDOW_SECONDS)
        audio = self.heard().astype(np.float64)
        frames = audio[: len(audio) // window * window].reshape(-1, window)
        return float((np.sqrt((frames**2).mean(axis=1)) > 300).sum() * _WINDOW_SECONDS)

    async def speak_tone(self, hertz: float, seconds: float) -> None:
        """Publish a track and play a tone on it, in real time."""
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("agent", source)
        await self.room.local_participant.publish_track(track)
        frame = int(RATE * _FRAME_SECONDS)
        for start in range(0, int(RATE * seconds), frame):
            times = np.arange(start, start + frame) / RATE
            wave = (8_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)
            await source.capture_frame(rtc.AudioFrame(wave.tobytes(), RATE, 1, frame))
        await source.wait_for_playout()

    async def close(self) -> None:
        """Leave."""
        await self.room.disconnect()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._tasks.append(asyncio.create_task(self._hear(track)))

    async def _hear(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1)
        try:
            async for event in stream:
                self.samples.append(np.frombuffer(event.frame.data, np.int16))
        finally:
            await stream.aclose()

    def _on_dtmf(self, dtmf: rtc.SipDTMF) -> None:
        self.digits += dtmf.digit

    def _on_joined(self, participant: rtc.RemoteParticipant) -> None:
        self.statuses.append(participant.attributes.get("sip.callStatus", ""))

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        if participant.identity != self.room.local_participant.identity and "sip.callStatus" in changed:
            self.statuses.append(changed["sip.callStatus"])


@asynccontextmanager
async def listen_in(bench: SupportsSipGateway, room_name: str) -> AsyncIterator[RoomListener]:
    """Join a room as `listener` for the length of an `async with` block."""
    token = api.AccessToken(bench.livekit.api_key, bench.livekit.api_secret).with_identity("listener")
    token = token.with_grants(api.VideoGrants(room_join=True, room=room_name))
    listener = RoomListener(rtc.Room())
    listener.watch()
    await listener.room.connect(bench.livekit.ws_url, token.to_jwt())
    try:
        yield listener
    finally:
        await listener.close()
