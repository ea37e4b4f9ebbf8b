"""What the apiserver says is read, however deep it is, and only the depths are lost."""

import json
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import example, given
from hypothesis import strategies as st

from voicefleet_operator.apiserver.unpacking import Answer, unpack

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
LEVELS = [10, 900, 1_000, 1_030, 9_990]


def abyss(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def levels_in(value: Any) -> int:
    levels = 0
    while isinstance(value, dict):
        levels, value = levels + 1, value["a"]
    return levels


@given(TREES)
def test_what_is_not_deep_is_read_as_it_is(tree: object) -> None:
    assert unpack(json.dumps(tree).encode()) == tree


@given(TREES, st.integers(1_025, 1_500))
@example(["{" * 300, '\\"' * 3 + "[" * 300, "}" * 300], 2_000)
def test_whatever_stands_beside_the_depths_is_read_as_it_is(tree: object, levels: int) -> None:
    text = json.dumps(tree)
    read = unpack(f'{{"before": {text}, "deep": {abyss(levels)}, "after": [{text}]}}'.encode())

    assert (read["before"], read["after"]) == (tree, [tree])
    assert 100 < levels_in(read["deep"]) < 300


@pytest.mark.parametrize("levels", LEVELS)
def test_an_object_of_any_depth_hides_no_other(levels: int) -> None:
    items = unpack(f'{{"items": [{{"n": 1}}, {abyss(levels)}, {{"n": 2}}]}}'.encode())["items"]

    assert (items[0], items[2]) == ({"n": 1}, {"n": 2})
    assert levels_in(items[1]) == levels or 100 < levels_in(items[1]) < 300


@pytest.mark.parametrize("text", ["", "<html>", '{"a": 1', '{"a": [}', '"', "]", "{" * 2_000, "]" * 2_000, '{"\\'])
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        unpack(text.encode())


async def test_whoever_reads_for_himself_can_read_every_line() -> None:
    """As kopf does: line by line from a watch, and a list as a whole."""
    events = [f'{{"object": {abyss(levels)}, "type": "ADDED"}}' for levels in (1, 5_000, 2)]

    async def watch(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for event in events:
            # No line comes at one go.
            await answer.write(event[:100].encode())
            await answer.write(event[100:].encode() + b"\n")
        return answer

    async def see(_: web.Request) -> web.Response:
        return web.Response(text=f'{{"items": [{",".join(events)}]}}', content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/watch", watch), web.get("/list", see)])
    async with TestServer(app) as server, aiohttp.ClientSession(response_class=Answer) as session:
        async with session.get(server.make_url("/watch")) as answer:
            lines = b"".join([chunk async for chunk in answer.content.iter_chunked(2**20)]).splitlines()
        async with session.get(server.make_url("/list")) as answer:
            listed = (await answer.json())["items"]

    assert [levels_in(json.loads(line)["object"]) for line in lines] == [1, 199, 2]
    assert [levels_in(event["object"]) for event in listed] == [1, 197, 2]
