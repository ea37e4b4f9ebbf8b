"""One response of the realtime model: said aloud, written, or a function call, in the order of the API."""

import asyncio
import base64
from dataclasses import dataclass, field

from e2e.providers.espeak import Word
from e2e.providers.exchange import Exchange, Socket
from e2e.providers.persona import Answer, ToolCall
from e2e.providers.realtime_conversation import Conversation
from e2e.providers.speaking import pcm_chunks, prepare_speech
from e2e.providers.wire import Json, count_tokens, new_id

RATE_HZ = 24000
_TOKENS_PER_SECOND = 20


@dataclass(slots=True)
class Response:
    """What is being said, as far as it has got."""

    exchange: Exchange
    socket: Socket
    conversation: Conversation
    modality: str
    metadata: Json | None
    tokens_in: int
    id: str = field(default_factory=lambda: new_id("resp_"))
    tokens_out: int = 0
    audio_tokens_out: int = 0
    _output: list[Json] = field(default_factory=list)
    # The message being said when it is cut off.
    _open_item: Json | None = None

    async def announce(self) -> None:
        """Say that it begins."""
        await self._send("response.created", response=self._as_json("in_progress"))

    async def run(self, decided: Answer) -> None:
        """Say it all."""
        await asyncio.sleep(decided.delay_ms / 1000)
        if decided.tool_call is not None:
            await self._call(decided.tool_call)
        elif self.modality == "text":
            await self._write(decided)
        else:
            await self._say(decided.text)
        await self._send("response.done", response=self._as_json("completed"))

    async def break_off(self, reason: str) -> None:
        """Report that the rest will not come."""
        if self._open_item is not None:
            await self._finish(self._open_item, "incomplete")
        details = {"type": "cancelled", "reason": reason}
        await self._send("response.done", response=self._as_json("cancelled", details))

    async def _say(self, text: str) -> None:
        spoken = await prepare_speech(self.exchange, text, rate_hz=RATE_HZ)
        item: Json = {"id": new_id("item_"), "type": "message", "role": "assistant", "content": []}
        await self._begin(item)
        self.conversation.remember_words(item["id"], spoken.words)
        part = {"type": "audio", "transcript": ""}
        item["content"] = [{"type": "output_audio", "transcript": ""}]
        await self._send_part("response.content_part.added", item, part=part)
        waiting = list(spoken.words)
        sent_seconds = 0.0
        async for chunk in pcm_chunks(self.exchange, spoken, encoding="pcm_s16le"):
            sent_seconds += len(chunk) / 2 / RATE_HZ
            await self._tell_words(item, waiting, until_seconds=sent_seconds)
            await self._send_part("response.output_audio.delta", item, delta=base64.b64encode(chunk).decode())
            self.audio_tokens_out = int(sent_seconds * _TOKENS_PER_SECOND)
        transcript = item["content"][0]["transcript"]
        await self._send_part("response.output_audio.done", item)
        await self._send_part("response.output_audio_transcript.done", item, transcript=transcript)
        await self._send_part("response.content_part.done", item, part={**part, "transcript": transcript})
        await self._finish(item, "completed")

    async def _tell_words(self, item: Json, waiting: list[Word], *, until_seconds: float) -> None:
        while waiting and waiting[0].start_seconds < until_seconds:
            word = waiting.pop(0).text
            part = item["content"][0]
            delta = f" {word}" if part["transcript"] else word
            part["transcript"] += delta
            self._count_text(delta)
            await self._send_part("response.output_audio_transcript.delta", item, delta=delta)

    async def _write(self, decided: Answer) -> None:
        self.exchange.begin_turn()
        item: Json = {"id": new_id("item_"), "type": "message", "role": "assistant", "content": []}
        await self._begin(item)
        item["content"] = [{"type": "output_text", "text": ""}]
        await self._send_part("response.content_part.added", item, part={"type": "text", "text": ""})
        for piece in decided.pieces():
            item["content"][0]["text"] += piece
            self._count_text(piece)
            await self._send_part("response.output_text.delta", item, delta=piece)
            await asyncio.sleep(decided.chunk_interval_ms / 1000)
        await self._send_part("response.output_text.done", item, text=decided.text)
        part = {"type": "text", "text": decided.text}
        await self._send_part("response.content_part.done", item, part=part)
        await self._finish(item, "completed")

    async def _call(self, call: ToolCall) -> None:
        self.exchange.begin_turn()
        item: Json = {"id": new_id("item_"), "type": "function_call", "call_id": new_id("call_"), "name": call.name}
        item["arguments"] = ""
        await self._begin(item)
        common = {"response_id": self.id, "item_id": item["id"], "output_index": 0, "call_id": item["call_id"]}
        self._count_text(call.arguments_json)
        await self._send("response.function_call_arguments.delta", **common, delta=call.arguments_json)
        item["arguments"] = call.arguments_json
        await self._send("response.function_call_arguments.done", **common, arguments=call.arguments_json)
        await self._finish(item, "completed")

    async def _begin(self, item: Json) -> None:
        item["status"] = "in_progress"
        previous_id = self.conversation.add(item)
        self._open_item = item
        await self._send("response.output_item.added", response_id=self.id, output_index=0, item=item)
        await self._send("conversation.item.added", previous_item_id=previous_id, item=item)

    async def _finish(self, item: Json, status: str) -> None:
        item["status"] = status
        self._open_item = None
        self._output.append(item)
        await self._send("response.output_item.done", response_id=self.id, output_index=0, item=item)
        await self._send("conversation.item.done", item=item)

    def _count_text(self, text: str) -> None:
        self.exchange.entry.text_out_chars += len(text)
        self.exchange.entry.tokens_out += count_tokens(text)
        self.tokens_out += count_tokens(text)

    def _as_json(self, status: str, details: Json | None = None) -> Json:
        done = status != "in_progress"
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": self._output,
            "metadata": self.metadata,
            "output_modalities": [self.modality],
            "usage": self._usage() if done else None,
        }

    def _usage(self) -> Json:
        output_tokens = self.tokens_out + self.audio_tokens_out
        return {
            "total_tokens": self.tokens_in + output_tokens,
            "input_tokens": self.tokens_in,
            "output_tokens": output_tokens,
            "input_token_details": {"text_tokens": self.tokens_in, "audio_tokens": 0, "cached_tokens": 0},
            "output_token_details": {"text_tokens": self.tokens_out, "audio_tokens": self.audio_tokens_out},
        }

    async def _send_part(self, kind: str, item: Json, **details: object) -> None:
        place = {"response_id": self.id, "item_id": item["id"], "output_index": 0, "content_index": 0}
        await self._send(kind, **place, **details)

    async def _send(self, kind: str, **details: object) -> None:
        await self.socket.send({"type": kind, "event_id": new_id("event_"), **details})
