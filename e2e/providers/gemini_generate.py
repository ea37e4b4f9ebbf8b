"""Gemini's `:streamGenerateContent`, as server-sent events."""

import asyncio
from typing import Any

from aiohttp import web

from e2e.providers.exchange import Exchange
from e2e.providers.persona import Answer, Turn, answer
from e2e.providers.wire import Json, count_tokens, new_id, parse_json

_PUBLIC_OPTIONS = ("temperature", "maxOutputTokens")


async def generate(exchange: Exchange) -> web.StreamResponse:
    """Serve `/v1/models/{model}:streamGenerateContent`."""
    body = parse_json(await exchange.request.read())
    if not isinstance(body.get("contents"), list):
        return exchange.refuse(400, "contents is required", "bad_request")
    turns = [turn for content in body["contents"] for turn in _read_turns(content)]
    declared = [each for tool in body.get("tools") or () for each in tool.get("functionDeclarations") or ()]
    decided = answer(
        turns,
        tools=[str(each["name"]) for each in declared],
        rules=exchange.studio.rules,
        instance=exchange.instance,
    )
    _describe(exchange, body, turns, decided)
    await asyncio.sleep(decided.delay_ms / 1000)
    stream = await exchange.start_stream("text/event-stream")
    common = {"responseId": new_id(""), "modelVersion": exchange.entry.model}
    parts = _parts(decided)
    for index, part in enumerate(parts):
        candidate: Json = {"content": {"role": "model", "parts": [part]}, "index": 0}
        event: Json = {"candidates": [candidate], **common}
        if index == len(parts) - 1:
            candidate["finishReason"] = "STOP"
            event["usageMetadata"] = _usage(exchange)
        await stream.send_event(event)
        await asyncio.sleep(decided.chunk_interval_ms / 1000)
    return stream.response


def _read_turns(content: Json) -> list[Turn]:
    speaker: Any = "assistant" if content.get("role") == "model" else "user"
    turns = []
    for part in content.get("parts") or ():
        if outcome := part.get("functionResponse"):
            response = outcome.get("response") or {}
            turns.append(Turn("tool", str(response.get("output", response)), str(outcome.get("name", ""))))
        elif "functionCall" in part:
            turns.append(Turn("assistant", ""))
        elif text := part.get("text"):
            turns.append(Turn(speaker, str(text)))
    return turns


def _describe(exchange: Exchange, body: Json, turns: list[Turn], decided: Answer) -> None:
    exchange.begin_turn()
    entry, config = exchange.entry, body.get("generationConfig") or {}
    entry.model = exchange.request.match_info["model"]
    entry.options |= {name: config[name] for name in _PUBLIC_OPTIONS if name in config}
    entry.tokens_in = sum(count_tokens(turn.text) + 4 for turn in turns)
    said = decided.tool_call.arguments_json if decided.tool_call else decided.text
    entry.text_out_chars, entry.tokens_out = len(said), count_tokens(said)


def _parts(decided: Answer) -> list[Json]:
    call = decided.tool_call
    if call is not None:
        return [{"functionCall": {"name": call.name, "args": call.arguments}}]
    return [{"text": piece} for piece in decided.pieces()] or [{"text": ""}]


def _usage(exchange: Exchange) -> Json:
    entry = exchange.entry
    total = entry.tokens_in + entry.tokens_out
    return {
        "promptTokenCount": entry.tokens_in,
        "candidatesTokenCount": entry.tokens_out,
        "totalTokenCount": total,
    }
