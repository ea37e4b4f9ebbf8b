"""Sounds behind the voice, on a track of their own: the caller hears them, and nobody else.

Files of other people's are fetched once, while the worker starts, and played from there. A sound that cannot be had, or
is not there yet, is left out: no worker takes calls later for its sake, and calls are answered without it.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from livekit import rtc
from livekit.agents import AgentSession, AudioConfig, BackgroundAudioPlayer, BuiltinAudioClip
from livekit.agents.utils.audio import audio_frames_from_file

from voicefleet.api.voiceagent.conversation import BackgroundAudio, Sound

logger = logging.getLogger("voicefleet.worker")

Files = Mapping[str, Path]
"""Where the sound of a URL lies."""
_CLIPS = {
    "CityAmbience": BuiltinAudioClip.CITY_AMBIENCE,
    "CrowdedRoom": BuiltinAudioClip.CROWDED_ROOM,
    "ForestAmbience": BuiltinAudioClip.FOREST_AMBIENCE,
    "HoldMusic": BuiltinAudioClip.HOLD_MUSIC,
    "KeyboardTyping": BuiltinAudioClip.KEYBOARD_TYPING,
    "OfficeAmbience": BuiltinAudioClip.OFFICE_AMBIENCE,
}
_FETCH_SECONDS = 20.0
_MOST_BYTES = 20 * 1024 * 1024
_CHUNK_BYTES = 65_536
_FADE_SECONDS = 0.3


class CannotBePlayedError(Exception):
    """A file that is no sound, or too large a one."""


async def start_sounds(
    wanted: BackgroundAudio | None, files: Files, room: rtc.Room, session: AgentSession[None]
) -> BackgroundAudioPlayer | None:
    """Play what is wanted and there from now on; None if that is nothing."""
    files = await asyncio.to_thread(fetched, files)
    ambient, thinking = (
        (_source(wanted.ambient, files), _source(wanted.thinking, files)) if wanted is not None else (None, None)
    )
    if ambient is None and thinking is None:
        return None
    player = BackgroundAudioPlayer(ambient_sound=ambient, thinking_sound=thinking)
    await player.start(room=room, agent_session=session)
    return player


def sound_files(wanted: BackgroundAudio | None, directory: Path) -> dict[str, Path]:
    """Return where those sounds will lie that are somewhere else."""
    sounds = (wanted.ambient, wanted.thinking) if wanted is not None else ()
    urls = sorted({sound.url for sound in sounds if sound is not None and sound.url is not None})
    return {url: directory / f"sound-{number}" for number, url in enumerate(urls)}


def fetched(files: Files) -> Files:
    """Return those that are there by now."""
    return {url: path for url, path in files.items() if path.is_file()}


async def fetch_sounds(files: Files) -> None:
    """Fetch them, as far as they can be had."""
    timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        await asyncio.gather(*(_fetch(http, url, path) for url, path in files.items()))


async def _fetch(http: aiohttp.ClientSession, url: str, path: Path) -> None:
    # Under its name lies only what is whole, and a sound.
    unread = path.with_name(f"{path.name}-unread")
    try:
        async with http.get(url) as answer:
            answer.raise_for_status()
            body = await _read(answer)
        await asyncio.to_thread(unread.write_bytes, body)
        await _check(unread)
        await asyncio.to_thread(unread.rename, path)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, calls are answered without it
        # Not the URL: it may hold a key.
        logger.warning("a sound cannot be had", extra={"problem": type(error).__name__})


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > _MOST_BYTES:
            raise CannotBePlayedError(f"larger than {_MOST_BYTES} bytes")
    return bytes(body)


async def _check(path: Path) -> None:
    """Refuse what is no sound before a call finds out."""
    frames = audio_frames_from_file(str(path))
    try:
        async for _ in frames:
            return
    finally:
        await frames.aclose()
    raise CannotBePlayedError("no sound in it")


def _source(sound: Sound | None, files: Files) -> AudioConfig | None:
    if sound is None:
        return None
    source = _CLIPS.get(sound.clip or "") or files.get(sound.url or "")
    if source is None:
        return None
    clip = source if isinstance(source, BuiltinAudioClip) else str(source)
    return AudioConfig(clip, volume=sound.volume, fade_in=_FADE_SECONDS, fade_out=_FADE_SECONDS)
