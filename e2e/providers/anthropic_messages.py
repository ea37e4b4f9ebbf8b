"""Anthropic's `/v1/messages`, streamed."""

import asyncio
import json
from typing import Any

from aiohttp import web

from e2e.providers.exchange import Exchange, Stream
from e2e.providers.persona import Answer, Turn, answer
from e2e.providers.wire import Json, chunks, count_tokens, new_id, parse_json

_PUBLIC_OPTIONS = ("temperature", "max_tokens", "tool_choice", "stream")
_ARGUMENT_BYTES = 8


async def complete(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/messages`."""
    body = parse_json(await exchange.request.read())
    if not isinstance(body.get("messages"), list) or not body.get("max_tokens") or not body.get("stream"):
        return exchange.refuse(400, "messages, max_tokens and stream are required", "bad_request")
    turns = read_turns(body["messages"])
    decided = answer(
        turns,
        tools=[str(tool.get("name", "")) for tool in body.get("tools") or ()],
        tool_choice=_read_tool_choice(body),
        rules=exchange.studio.rules,
        instance=exchange.instance,
    )
    _describe(exchange, body, turns, decided)
    await asyncio.sleep(decided.delay_ms / 1000)
    return await _stream(exchange, decided)


def read_turns(messages: list[Json]) -> list[Turn]:
    """Read a conversation; the outcome of a tool comes as a block of what the user says."""
    names: dict[str, str] = {}
    turns = []
    for message in messages:
        content = message.get("content")
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
            match block.get("type"):
                case "tool_use":
                    names[block["id"]] = block["name"]
                    turns.append(Turn("assistant", ""))
                case "tool_result":
                    turns.append(Turn("tool", _text_of(block.get("content")), names.get(block["tool_use_id"], "")))
                case "text":
                    speaker: Any = "assistant" if message.get("role") == "assistant" else "user"
                    turns.append(Turn(speaker, str(block["text"])))
                case _:
                    pass
    return turns


def _text_of(content: object) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _read_tool_choice(body: Json) -> str:
    choice = body.get("tool_choice") or {"type": "auto"}
    kind = str(choice["type"])
    return {"any": "required", "tool": str(choice.get("name", ""))}.get(kind, kind)


def _describe(exchange: Exchange, body: Json, turns: list[Turn], decided: Answer) -> None:
    exchange.begin_turn()
    entry = exchange.entry
    entry.model = str(body.get("model", ""))
    entry.options |= {name: body[name] for name in _PUBLIC_OPTIONS if name in body}
    entry.tokens_in = sum(count_tokens(turn.text) + 4 for turn in turns)
    said = decided.tool_call.arguments_json if decided.tool_call else decided.text
    entry.text_out_chars, entry.tokens_out = len(said), count_tokens(said)


async def _stream(exchange: Exchange, decided: Answer) -> web.StreamResponse:
    stream = await exchange.start_stream("text/event-stream")
    entry = exchange.entry
    usage = {"input_tokens": entry.tokens_in, "output_tokens": 1}
    message: Json = {"id": new_id("msg_"), "type": "message", "role": "assistant", "model": entry.model}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    await _send(stream, "message_start", message=message)
    block, deltas = _content(decided)
    await _send(stream, "content_block_start", index=0, content_block=block)
    for delta in deltas:
        await _send(stream, "content_block_delta", index=0, delta=delta)
        await asyncio.sleep(decided.chunk_interval_ms / 1000)
    await _send(stream, "content_block_stop", index=0)
    stop = {"stop_reason": "tool_use" if decided.tool_call else "end_turn", "stop_sequence": None}
    await _send(stream, "message_delta", delta=stop, usage={"output_tokens": entry.tokens_out})
    await _send(stream, "message_stop")
    return stream.response


def _content(decided: Answer) -> tuple[Json, list[Json]]:
    """Return the block of an answer, and the pieces that it comes in."""
    call = decided.tool_call
    if call is None:
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in decided.pieces()]
    arguments = json.dumps(call.arguments).encode()
    pieces = [piece.decode() for piece in chunks(arguments, _ARGUMENT_BYTES)]
    block = {"type": "tool_use", "id": new_id("toolu_"), "name": call.name, "input": {}}
    return block, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


async def _send(stream: Stream, kind: str, **details: object) -> None:
    await stream.send_event({"type": kind, **details}, name=kind)
