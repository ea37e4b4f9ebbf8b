"""OpenAI's `/v1/chat/completions`, streamed or whole, and `/v1/models`."""

import asyncio
import time
from typing import Any

from aiohttp import web

from e2e.providers.exchange import Exchange
from e2e.providers.persona import Answer, Turn, answer
from e2e.providers.wire import Json, count_tokens, new_id, parse_json

_MODELS = ("gpt-4.1", "gpt-4.1-mini", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts", "gpt-realtime")
_ARGUMENT_CHUNK = 8
_PUBLIC_OPTIONS = ("temperature", "top_p", "tool_choice", "stream", "max_completion_tokens", "parallel_tool_calls")


async def list_models(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/models`, which the plugins call to warm up."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "stand-in"} for name in _MODELS]
    return await exchange.reply_json({"object": "list", "data": data})


async def complete(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/chat/completions`."""
    body = parse_json(await exchange.request.read())
    if not isinstance(body.get("messages"), list):
        return exchange.refuse(400, "messages is required", "bad_request")
    turns = read_turns(body["messages"])
    decided = answer(
        turns,
        tools=read_tools(body),
        tool_choice=read_tool_choice(body),
        rules=exchange.studio.rules,
        instance=exchange.instance,
    )
    _describe(exchange, body, turns, decided)
    await asyncio.sleep(decided.delay_ms / 1000)
    if body.get("stream"):
        return await _stream(exchange, body, decided)
    return await exchange.reply_json(_whole(exchange, decided))


def read_turns(messages: list[Json]) -> list[Turn]:
    """Read a conversation, keeping who spoke and what."""
    names = {call["id"]: call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()}
    turns = []
    for message in messages:
        text = _text_of(message.get("content"))
        match message.get("role"):
            case "user":
                turns.append(Turn("user", text))
            case "tool":
                turns.append(Turn("tool", text, names.get(message.get("tool_call_id"), "")))
            case "assistant":
                turns.append(Turn("assistant", text))
            case _:
                turns.append(Turn("instructions", text))
    return turns


def read_tools(body: Json) -> list[str]:
    """Return the names of the functions on offer, in the chat or the flatter realtime shape."""
    tools = body.get("tools") or ()
    return [tool.get("function", tool).get("name", "") for tool in tools if tool.get("type") == "function"]


def read_tool_choice(body: Json) -> str:
    """Return auto, none, required or a function's name."""
    choice: Any = body.get("tool_choice") or "auto"
    return choice if isinstance(choice, str) else choice.get("function", choice).get("name", "auto")


def _text_of(content: object) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _describe(exchange: Exchange, body: Json, turns: list[Turn], decided: Answer) -> None:
    exchange.begin_turn()
    entry = exchange.entry
    entry.model = str(body.get("model", ""))
    entry.options |= {name: body[name] for name in _PUBLIC_OPTIONS if name in body}
    entry.options["tools"] = read_tools(body)
    entry.options["messages"] = len(turns)
    entry.text_in_chars = sum(len(turn.text) for turn in turns)
    entry.tokens_in = sum(count_tokens(turn.text) + 4 for turn in turns)
    said = decided.tool_call.arguments_json if decided.tool_call else decided.text
    entry.text_out_chars, entry.tokens_out = len(said), count_tokens(said)


def _usage(exchange: Exchange) -> Json:
    entry = exchange.entry
    return {
        "prompt_tokens": entry.tokens_in,
        "completion_tokens": entry.tokens_out,
        "total_tokens": entry.tokens_in + entry.tokens_out,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _tool_call(decided: Answer) -> Json:
    call = decided.tool_call
    if call is None:
        return {}
    function = {"name": call.name, "arguments": call.arguments_json}
    return {"id": new_id("call_"), "type": "function", "function": function}


def _whole(exchange: Exchange, decided: Answer) -> Json:
    message: Json = {"role": "assistant", "content": decided.text or None}
    if decided.tool_call:
        message["tool_calls"] = [_tool_call(decided)]
    finish = "tool_calls" if decided.tool_call else "stop"
    return {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": exchange.entry.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": _usage(exchange),
    }


async def _stream(exchange: Exchange, body: Json, decided: Answer) -> web.StreamResponse:
    stream = await exchange.start_stream("text/event-stream")
    common = {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": exchange.entry.model,
    }
    for delta in _deltas(decided):
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        await stream.send_event({**common, "choices": [choice]})
        await asyncio.sleep(decided.chunk_interval_ms / 1000)
    finish = "tool_calls" if decided.tool_call else "stop"
    await stream.send_event({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        await stream.send_event({**common, "choices": [], "usage": _usage(exchange)})
    await stream.write(b"data: [DONE]\n\n")
    return stream.response


def _deltas(decided: Answer) -> list[Json]:
    """Cut an answer into the deltas of a stream: words, or a call with its arguments in fragments."""
    if decided.tool_call is None:
        return [{"role": "assistant", "content": ""}, *({"content": piece} for piece in decided.pieces())]
    call = _tool_call(decided)
    arguments = call["function"]["arguments"]
    opening = {"index": 0, **call, "function": {**call["function"], "arguments": ""}}
    fragments = (
        {"index": 0, "function": {"arguments": arguments[start : start + _ARGUMENT_CHUNK]}}
        for start in range(0, len(arguments), _ARGUMENT_CHUNK)
    )
    first = {"role": "assistant", "content": None, "tool_calls": [opening]}
    return [first, *({"tool_calls": [fragment]} for fragment in fragments)]
