"""Tools of a real MCP server in the hands of the stock plugin of a language model; no call, only what is written."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.utils import http_context
from livekit.agents.voice.run_result import RunResult
from livekit.plugins import openai

from e2e.mcp_server import TOKEN, running_mcp_server
from e2e.providers import Control, Providers
from e2e.providers.wire import HearingMode
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.tools.mcp import McpServers

ALLOWED = ["track_parcel", "cancel_parcel", "search_archive"]


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    return "script"


@pytest.fixture(scope="module", params=["StreamableHttp", "Sse"])
def server(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    with running_mcp_server(request.param) as url:
        yield {"url": url, "transport": request.param, "allowedTools": ALLOWED, "timeoutMilliseconds": 1000}


@asynccontextmanager
async def equipped(folder: Path, mcp: dict[str, Any], *, token: str = TOKEN) -> AsyncIterator[Agent]:
    """An agent with the tools of a server that it knows the token of."""
    (folder / "mcp").mkdir()
    (folder / "mcp" / "token").write_text(token)
    auth = {"bearer": {"name": "mcp", "key": "token"}}
    tool = Tool.model_validate({"name": "parcels", "description": "d", "mcp": {**mcp, "auth": auth}})
    servers = McpServers([tool], SecretFiles(folder), ToolPolicy(), language="en", values={})
    agent = Agent(instructions="You know about parcels.")
    await servers.equip(agent)
    try:
        yield agent
    finally:
        await servers.aclose()


async def outputs(providers: Providers, agent: Agent, call: dict[str, Any]) -> list[str]:
    """Let a model call a tool, and return what it read of it and what it said then."""
    control = Control(providers.control_url)
    control.reset()
    control.set_rules([{"match": "parcel", "tool_call": call}])
    async with http_context.open():
        model = openai.LLM(model="gpt-4.1-mini", base_url=providers.openai_url, api_key="any")
        session: AgentSession[None] = AgentSession(llm=model, vad=None, turn_handling={"turn_detection": None})
        await session.start(agent)
        result = cast("RunResult[None]", await session.run(user_input="Where is my parcel?"))
        await session.aclose()
        await model.aclose()
    return [event.item.output for event in result.events if event.type == "function_call_output"]


def call(tool: str, **arguments: object) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments}


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        (call("track_parcel", number=7), "Parcel 7 arrives on Thursday."),
        (call("track_parcel", number="seven"), "number: 'seven' is not of type 'integer'"),
        (call("cancel_parcel", number=7), "parcel 7 is on its way"),
        (call("search_archive", words="ada"), "it is not known whether it took effect"),
    ],
    ids=["an answer", "wrong arguments", "a failure", "a server that takes too long"],
)
async def test_what_a_server_answers_is_read_by_the_model(
    providers: Providers, server: dict[str, Any], tmp_path: Path, asked: dict[str, Any], read: str
) -> None:
    async with equipped(tmp_path, server) as agent:
        (output,) = await outputs(providers, agent, asked)

    assert read in output


async def test_only_allowed_tools_are_offered(server: dict[str, Any], tmp_path: Path) -> None:
    async with equipped(tmp_path, server) as agent:
        assert sorted(tool.id for tool in agent.tools) == sorted(ALLOWED)


async def test_a_server_that_turns_us_away_costs_only_its_own_tools(
    server: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with equipped(tmp_path, server, token="no-such-token") as agent:
        assert agent.tools == []

    assert "tools of a server are missing" in caplog.text
    assert "no-such-token" not in caplog.text


async def test_what_is_no_mcp_server_costs_only_its_own_tools(providers: Providers, tmp_path: Path) -> None:
    async with equipped(tmp_path, {"url": f"{providers.control_url}/mcp"}) as agent:
        assert agent.tools == []
