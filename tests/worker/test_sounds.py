"""Sounds behind the voice: where they come from, and that a call does without those that cannot be had."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from aiohttp import web
from livekit import rtc
from livekit.agents import AgentSession, BuiltinAudioClip

from tests.worker.files import AGENT, Mounted
from tests.worker.test_entry import Job, call_of
from voicefleet.api.voiceagent.conversation import BackgroundAudio, Sound
from voicefleet_worker.calls import call as life
from voicefleet_worker.calls import sounds as under_test
from voicefleet_worker.calls.sounds import _source, fetch_sounds, fetched, sound_files, start_sounds
from voicefleet_worker.settings import load_settings


def tone() -> bytes:
    """Return a tenth of a second as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(b"\x00\x10" * 1_600)
    return file.getvalue()


async def answer(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/tone.wav":
            return web.Response(body=tone())
        case "/page.html":
            return web.Response(text="<html>Moved for good.</html>")
        case "/long.wav":
            return web.Response(body=tone() + bytes(100_000))
        case "/slow.wav":
            await asyncio.sleep(5)
    raise web.HTTPNotFound


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("name", [name for name in get_args(Sound.model_fields["clip"].annotation) if name])
def test_every_clip_of_the_schema_ships_with_the_worker(name: Any) -> None:
    for clip in get_args(name) or (name,):
        if clip is type(None):
            continue
        source = _source(Sound(clip=clip, volume=0.2), {})

        assert source is not None
        assert isinstance(source.source, BuiltinAudioClip)
        assert Path(source.source.path()).is_file()
        assert source.volume == 0.2


async def test_a_sound_from_elsewhere_is_fetched_once_and_played_from_a_file(origin: str, tmp_path: Path) -> None:
    sound = Sound(url=f"{origin}/tone.wav")
    files = sound_files(BackgroundAudio(ambient=sound, thinking=sound), tmp_path)
    assert list(files) == [sound.url]
    assert await asyncio.to_thread(fetched, files) == {}

    await fetch_sounds(files)

    assert await asyncio.to_thread(fetched, files) == files
    source = _source(sound, files)
    assert source is not None
    assert source.source == str(files[f"{origin}/tone.wav"])


@pytest.mark.parametrize("path", ["nothing.wav", "page.html", "long.wav", "slow.wav"])
async def test_a_sound_that_cannot_be_had_is_left_out(
    origin: str, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(under_test, "_MOST_BYTES", 50_000)
    monkeypatch.setattr(under_test, "_FETCH_SECONDS", 0.3)
    bad, good = Sound(url=f"{origin}/{path}?key=hush"), Sound(url=f"{origin}/tone.wav")
    files = sound_files(BackgroundAudio(ambient=bad, thinking=good), tmp_path)

    await fetch_sounds(files)

    here = await asyncio.to_thread(fetched, files)
    assert list(here) == [good.url]
    assert _source(bad, here) is None
    assert "hush" not in caplog.text


async def test_who_wants_no_sound_has_no_track() -> None:
    room, session = cast("rtc.Room", None), cast("AgentSession[None]", None)

    assert await start_sounds(None, {}, room, session) is None
    assert await start_sounds(BackgroundAudio(hold=Sound(clip="HoldMusic")), {}, room, session) is None
    assert sound_files(None, Path()) == {}


async def test_a_call_goes_on_without_a_sound_that_cannot_be_played(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = {"backgroundAudio": {"ambient": {"clip": "OfficeAmbience"}}}
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "conversation": conversation}})
    call = call_of(job := Job(await asyncio.to_thread(load_settings, mounted.flags, {})), job_settings(job))

    async def fail(*_: object) -> None:
        raise rtc.ConnectError("no track")

    monkeypatch.setattr(life, "start_sounds", fail)
    await call._play_sounds()

    assert job.farewells == []


def job_settings(job: Job) -> Any:
    setup = job.proc.userdata["setup"]
    return SimpleNamespace(plan=setup.plan, secrets=setup.secrets)


_HUSH = 300
"""Louder than the office, and softer than a keyboard."""


class _Session:
    """A session whose agent does what a test says."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def on(self, _event: str, handler: Any) -> None:
        self.handlers.append(handler)

    def off(self, _event: str, handler: Any) -> None:
        self.handlers.remove(handler)

    def state(self, new: str) -> None:
        for handler in self.handlers:
            handler(SimpleNamespace(new_state=new))


async def test_it_plays_all_the_time_and_another_sound_while_the_agent_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[rtc.Track] = []
    loudest: list[int] = []

    async def publish_track(track: rtc.Track, _options: object) -> Any:
        published.append(track)
        return SimpleNamespace(name=track.name, sid="TR_1")

    async def capture_frame(_source: rtc.AudioSource, frame: rtc.AudioFrame) -> None:
        loudest.append(max(map(abs, frame.data)))
        await asyncio.sleep(0.01)

    monkeypatch.setattr(rtc.AudioSource, "capture_frame", capture_frame)
    me = SimpleNamespace(publish_track=publish_track, track_publications={})
    session, room = _Session(), cast("rtc.Room", SimpleNamespace(local_participant=me))
    wanted = BackgroundAudio(
        ambient=Sound(clip="OfficeAmbience", volume=0.3), thinking=Sound(clip="KeyboardTyping", volume=1.0)
    )
    player = await start_sounds(wanted, {}, room, cast("AgentSession[None]", session))
    assert player is not None

    await _until(lambda: len(loudest) > 10 and _HUSH > max(loudest[-10:]) > 20)
    session.state("thinking")
    await _until(lambda: loudest[-1] > 5 * _HUSH)
    session.state("listening")
    await _until(lambda: max(loudest[-10:]) < _HUSH)
    await player.aclose()
    heard = len(loudest)
    await asyncio.sleep(0.05)

    assert [track.name for track in published] == ["background_audio"]
    assert len(loudest) == heard, "it ends with the call"


async def _until(is_so: Any) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
