"""OpenAI's `/v1/realtime` (GA): a spoken conversation on one socket, or transcription only.

The client's events are followed one by one in `_follow`; what the caller says arrives in between by
`_attend`. A response runs as a task, so that speech can interrupt it.
"""

import asyncio
import base64
from typing import Any

import numpy as np
from aiohttp import web

from e2e.providers.audio import SILENCE, Samples, decode
from e2e.providers.endpointing import SpeechEnded, SpeechStarted
from e2e.providers.exchange import Exchange, Socket
from e2e.providers.hearing import Ear, Heard
from e2e.providers.openai_chat import read_tool_choice, read_tools
from e2e.providers.persona import Turn, answer
from e2e.providers.realtime_conversation import Conversation, RejectedError
from e2e.providers.realtime_response import RATE_HZ, Response
from e2e.providers.wire import Json, count_tokens, new_id, parse_json

_SEMANTIC_SILENCE_MS = 500
_LEAST_COMMIT_SECONDS = 0.1


async def converse(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/realtime`."""
    session = _Session(exchange, await exchange.upgrade())
    await session.run()
    return session.socket.socket


class _Session:
    """One socket."""

    def __init__(self, exchange: Exchange, socket: Socket) -> None:
        self._exchange = exchange
        self.socket = socket
        self._transcribes_only = exchange.request.query.get("intent") == "transcription"
        self._config: Json = {
            "id": new_id("sess_"),
            "object": "realtime.session",
            "type": "transcription" if self._transcribes_only else "realtime",
            "model": exchange.request.query.get("model", "gpt-realtime"),
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "audio": {"input": {"turn_detection": {"type": "server_vad"}}, "output": {}},
        }
        self._conversation = Conversation()
        self._ear: Ear | None = None
        self._listener: asyncio.Task[None] | None = None
        self._buffer: Samples = SILENCE
        self._utterance_id = ""
        self._response: Response | None = None
        self._response_task: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Serve until the client goes."""
        await self._send("session.created", session=self._config)
        async with asyncio.TaskGroup() as self._tasks:
            async for message in self.socket.messages():
                event = parse_json(message)
                try:
                    await self._follow(event)
                except RejectedError as error:
                    await self._reject(event, error)
            for task in (self._listener, self._response_task):
                if task is not None:
                    task.cancel()

    async def _follow(self, event: Json) -> None:
        """Follow one client event."""
        match event.get("type"):
            case "session.update":
                _merge(self._config, event.get("session", {}))
                await self._send("session.updated", session=self._config)
            case "input_audio_buffer.append":
                self._append(decode(base64.b64decode(event["audio"]), "pcm_s16le"))
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                self._buffer = SILENCE
                await self._send("input_audio_buffer.cleared")
            case "response.create":
                await self._respond(event.get("response") or {})
            case "response.cancel":
                if not await self._stop_response("client_cancelled"):
                    message = "Cancellation failed: no active response found"
                    raise RejectedError("response_cancel_not_active", message)
            case str() as kind if kind.startswith("conversation.item."):
                await self._edit(kind.removeprefix("conversation.item."), event)
            case kind:
                raise RejectedError("unknown_event", f"Unknown event {kind}")

    async def _edit(self, verb: str, event: Json) -> None:
        """Change the conversation as the client wants it."""
        item_id = str(event.get("item_id", ""))
        match verb:
            case "create":
                await self._add_item(dict(event["item"]), after=event.get("previous_item_id"))
            case "delete":
                self._conversation.remove(item_id)
                await self._send("conversation.item.deleted", item_id=item_id)
            case "truncate":
                self._conversation.truncate(item_id, audio_end_ms=int(event["audio_end_ms"]))
                kept = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
                await self._send("conversation.item.truncated", **kept)
            case "retrieve":
                await self._send("conversation.item.retrieved", item=self._conversation.find(item_id))
            case _:
                raise RejectedError("unknown_event", f"Unknown event conversation.item.{verb}")

    def _append(self, samples: Samples) -> None:
        """Take in audio: endpointed by us, or kept until the client commits it."""
        entry = self._exchange.entry
        entry.audio_in_bytes += samples.size * 2
        entry.audio_in_seconds = round(entry.audio_in_seconds + samples.size / RATE_HZ, 3)
        detection = self._turn_detection()
        if detection is None:
            self._buffer = np.concatenate([self._buffer, samples])
            return
        if self._ear is None:
            silence_ms = int(detection.get("silence_duration_ms") or _SEMANTIC_SILENCE_MS)
            hearing = self._exchange.studio.hearing
            self._ear = Ear(hearing, instance=self._exchange.instance, rate_hz=RATE_HZ, silence_ms=silence_ms)
            self._listener = self._tasks.create_task(self._attend(self._ear))
        self._ear.feed(samples)

    async def _attend(self, ear: Ear) -> None:
        """Tell the client what its caller does, and answer the caller if that is our part."""
        async for event in ear.events():
            match event:
                case SpeechStarted():
                    self._utterance_id = new_id("item_")
                    await self._tell_speech("started", audio_start_ms=int(event.at_seconds * 1000))
                    if (self._turn_detection() or {}).get("interrupt_response", True):
                        await self._stop_response("turn_detected")
                case SpeechEnded():
                    await self._tell_speech("stopped", audio_end_ms=int(event.end_seconds * 1000))
                    await self._add_utterance(self._utterance_id)
                case Heard(final=True):
                    await self._write_down(self._utterance_id, event)
                    detection = self._turn_detection() or {}
                    if event.text and detection.get("create_response", True) and not self._transcribes_only:
                        await self._stop_response("turn_detected")
                        await self._respond({})
                case _:
                    pass

    async def _commit(self) -> None:
        """Make an utterance of what the client has sent."""
        samples, self._buffer = self._buffer, SILENCE
        if self._turn_detection() is not None or samples.size < RATE_HZ * _LEAST_COMMIT_SECONDS:
            raise RejectedError("input_audio_buffer_commit_empty", "Error committing input audio buffer: empty")
        item_id = new_id("item_")
        await self._add_utterance(item_id)
        hearing = self._exchange.studio.hearing
        text = await hearing.transcribe(samples, rate_hz=RATE_HZ, instance=self._exchange.instance)
        await self._write_down(item_id, Heard(text, 0.0, samples.size / RATE_HZ))

    async def _add_utterance(self, item_id: str) -> None:
        previous_id = self._conversation.last_id
        await self._send("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous_id)
        content = [{"type": "input_audio", "transcript": None}]
        await self._add_item({"id": item_id, "type": "message", "role": "user", "content": content})

    async def _write_down(self, item_id: str, heard: Heard) -> None:
        """Put the words into the conversation, and tell them if transcription is on."""
        if not self._conversation.has(item_id):
            return  # the client has deleted it in the meantime
        for part in self._conversation.find(item_id)["content"]:
            part["transcript"] = heard.text
        if not self._config["audio"]["input"].get("transcription") and not self._transcribes_only:
            return
        place = {"item_id": item_id, "content_index": 0}
        name = "conversation.item.input_audio_transcription"
        if heard.text:
            await self._send(f"{name}.delta", **place, delta=heard.text)
        seconds = round(heard.end_seconds - heard.start_seconds, 2)
        usage = {"type": "duration", "seconds": seconds}
        await self._send(f"{name}.completed", **place, transcript=heard.text, usage=usage)

    async def _respond(self, options: Json) -> None:
        """Begin a response; one at a time."""
        if self._response_task is not None and not self._response_task.done():
            message = "Conversation already has an active response in progress"
            raise RejectedError("conversation_already_has_active_response", message)
        config = {**self._config, **{name: value for name, value in options.items() if value is not None}}
        turns = self._conversation.turns()
        if options.get("instructions"):
            turns = [*turns, Turn(speaker="instructions", text=str(options["instructions"]))]
        decided = answer(
            turns,
            tools=read_tools(config),
            tool_choice=read_tool_choice(config),
            rules=self._exchange.studio.rules,
            instance=self._exchange.instance,
        )
        tokens_in = sum(count_tokens(turn.text) + 4 for turn in turns) + count_tokens(config["instructions"])
        self._exchange.entry.tokens_in += tokens_in
        self._response = Response(
            exchange=self._exchange,
            socket=self.socket,
            conversation=self._conversation,
            modality=config["output_modalities"][0],
            metadata=options.get("metadata"),
            tokens_in=tokens_in,
        )
        # Announced here and not in the task: a task cancelled at once would never have begun.
        await self._response.announce()
        self._response_task = self._tasks.create_task(self._response.run(decided))

    async def _stop_response(self, reason: str) -> bool:
        """Break off the response in progress; say whether there was one."""
        task, response = self._response_task, self._response
        if task is None or response is None or task.done():
            return False
        task.cancel()
        await asyncio.wait([task])
        await response.break_off(reason)
        return True

    async def _add_item(self, item: Json, *, after: str | None = None) -> None:
        previous_id = self._conversation.add(item, after=after)
        await self._send("conversation.item.added", previous_item_id=previous_id, item=item)
        await self._send("conversation.item.done", previous_item_id=previous_id, item=item)

    async def _tell_speech(self, verb: str, **when: int) -> None:
        await self._send(f"input_audio_buffer.speech_{verb}", item_id=self._utterance_id, **when)

    async def _reject(self, event: Json, error: RejectedError) -> None:
        details = {
            "type": "invalid_request_error",
            "code": error.code,
            "message": str(error),
            "param": None,
            "event_id": event.get("event_id"),
        }
        await self._send("error", error=details)

    def _turn_detection(self) -> dict[str, Any] | None:
        detection: dict[str, Any] | None = self._config["audio"]["input"].get("turn_detection")
        return detection

    async def _send(self, kind: str, **details: object) -> None:
        await self.socket.send({"type": kind, "event_id": new_id("event_"), **details})


def _merge(config: Json, changes: Json) -> None:
    """Apply a session update: what it names replaces, what it leaves out stays."""
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(name), dict) and name in ("audio", "input", "output"):
            _merge(config[name], value)
        else:
            config[name] = value
