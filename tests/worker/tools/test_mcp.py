"""Tools of MCP servers as an agent gets them: those that can be called, and none that replaces another."""

import asyncio
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import Agent, ToolError, function_tool
from mcp.shared.exceptions import MCPError

from tests.worker.failover.scripted import play
from tests.worker.tools.test_toolbox import table
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.tools import mcp as under_test
from voicefleet_worker.tools import mcp_line
from voicefleet_worker.tools.mcp import McpServers, check_mcp

PARAMETERS = {"type": "object", "properties": {"id": {"$ref": "#/$defs/Id"}}, "$defs": {"Id": {"type": "integer"}}}


def tool(name: str = "orders", **mcp: Any) -> Tool:
    return Tool.model_validate(
        {"name": name, "description": "Orders.", "mcp": {"url": "https://mcp.example.com/mcp", **mcp}}
    )


@dataclass
class Server:
    """A server with some tools, which is slow, or fails."""

    names: tuple[str, ...] = ("find",)
    parameters: dict[str, Any] = field(default_factory=lambda: PARAMETERS)
    description: str | None = "Finds."
    error: Exception | None = None
    breaks: list[Exception] = field(default_factory=list)
    """What becomes of the next uses of a tool."""
    seconds: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    built: list[dict[str, Any]] = field(default_factory=list)
    is_closed: bool = False
    _client: Any = field(default_factory=lambda: SimpleNamespace(_dispatcher=SimpleNamespace(_closed=False)))

    def __call__(self, url: str, **options: Any) -> "Server":
        self.built.append({"url": url, **options})
        return self

    async def initialize(self) -> None:
        if self.error is not None:
            raise self.error

    async def list_tools(self) -> list[Any]:
        return [self._tool(name) for name in self.names]

    async def aclose(self) -> None:
        self.is_closed = True

    def _tool(self, name: str) -> Any:
        async def use(raw_arguments: dict[str, object]) -> str:
            self.asked.append(raw_arguments)
            await play(self.seconds)
            if self.breaks:
                raise self.breaks.pop(0)
            if name == "fail":
                raise ToolError("it is on its way")
            return "found"

        schema = {"name": name, "description": self.description, "parameters": self.parameters}
        return function_tool(use, raw_schema=cast("Any", schema))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    there = Server()
    monkeypatch.setattr(mcp_line, "load_sdk", lambda: SimpleNamespace(MCPServerHTTP=there))
    return there


def servers(*tools: Tool, **policy: Any) -> McpServers:
    return McpServers(tools, SecretFiles(Path("nowhere")), ToolPolicy.model_validate(policy), language="en", values={})


async def equipped(*tools: Tool, **policy: Any) -> Agent:
    agent = Agent(instructions="x", tools=[])
    await servers(*tools, **policy).equip(agent)
    return agent


async def use(agent: Agent, calls: list[tuple[str, str]]) -> list[str]:
    """Let a model call tools, and return what it reads of them."""
    at = table(*calls)
    await at.agent.update_tools(agent.tools)
    return [each.item.output for each in (await at.ask()).events if each.type == "function_call_output"]


async def test_a_servers_tools_are_the_agents(server: Server) -> None:
    agent = await equipped(tool(allowedTools=["find"], headers={"X-Shop": "1"}, timeoutMilliseconds=3000))

    assert await use(agent, [("find", '{"id": 7}')]) == ["found"]
    assert server.asked == [{"id": 7}]
    (built,) = server.built
    assert (built["allowed_tools"], built["headers"], built["timeout"]) == (["find"], {"X-Shop": "1"}, 3.0)
    assert built["transport_type"] == "streamable_http"


async def test_arguments_are_checked_by_the_servers_own_schema(server: Server) -> None:
    (said,) = await use(await equipped(tool()), [("find", '{"id": "seven"}')])

    assert said.startswith("id: ")
    assert server.asked == []


async def test_a_schema_that_points_elsewhere_is_followed_nowhere(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", fetched.append)
    server.parameters = {"type": "object", "properties": {"id": {"$ref": "http://127.0.0.1:9/schema"}}}
    (said,) = await use(await equipped(tool()), [("find", '{"id": 7}')])

    assert fetched == []
    assert server.asked == []
    assert "cannot be used" in said


async def test_what_the_server_says_of_a_failure_is_told(server: Server) -> None:
    server.names = ("fail",)
    (said,) = await use(await equipped(tool()), [("fail", "{}")])

    assert "it is on its way" in said


async def test_a_server_that_takes_too_long_may_have_done_it(server: Server) -> None:
    server.seconds = 1.0
    (said,) = await use(await equipped(tool(timeoutMilliseconds=100)), [("find", "{}")])

    assert "do not do it again" in said


async def test_a_line_that_breaks_is_laid_anew_for_the_next_use_and_the_one_it_broke_is_not_repeated(
    server: Server,
) -> None:
    server.breaks = [MCPError(-32000, "Connection closed")]
    first, second = await use(await equipped(tool()), [("find", '{"id": 7}'), ("find", '{"id": 8}')])

    assert "do not do it again" in first
    assert second == "found"
    assert server.asked == [{"id": 7}, {"id": 8}]
    assert len(server.built) == 2


async def test_a_line_that_is_known_to_be_closed_takes_no_use_with_it(server: Server) -> None:
    agent = await equipped(tool())
    server._client._dispatcher._closed = True

    assert await use(agent, [("find", '{"id": 7}')]) == ["found"]
    assert len(server.built) == 2


@pytest.mark.parametrize("said", ["Session not found", "Session terminated"])
async def test_a_server_that_was_replaced_has_begun_nothing_and_is_asked_on_a_new_line(
    server: Server, said: str
) -> None:
    server.breaks = [MCPError(-32600, said)]

    assert await use(await equipped(tool()), [("find", '{"id": 7}')]) == ["found"]
    assert len(server.built) == 2


async def test_a_server_that_is_gone_has_done_nothing(server: Server) -> None:
    server.breaks = [MCPError(-32000, "Connection closed")]
    agent = await equipped(tool())
    await use(agent, [("find", '{"id": 7}')])
    server.error = OSError()
    (said,) = await use(agent, [("find", '{"id": 8}')])

    assert "out of reach" in said
    assert "not known" not in said
    assert server.asked == [{"id": 7}]


async def test_a_tool_that_the_server_has_no_more_is_told_as_that(server: Server) -> None:
    server.breaks = [MCPError(-32601, "there is no such tool"), MCPError(-32000, "Connection closed")]
    agent = await equipped(tool())
    (unknown,) = await use(agent, [("find", '{"id": 7}')])
    await use(agent, [("find", '{"id": 7}')])
    server.names = ("other",)
    (gone,) = await use(agent, [("find", '{"id": 7}')])

    assert "there is no such tool" in unknown
    assert "not offer this any more" in gone


@pytest.mark.parametrize("error", [OSError(), TimeoutError(), ExceptionGroup("x", [ValueError()])])
async def test_a_server_that_is_out_of_reach_costs_only_its_own_tools(
    server: Server, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    server.error = error
    agent = await equipped(tool())

    assert agent.tools == []
    assert "tools of a server are missing" in caplog.text


async def test_a_server_that_does_not_answer_is_waited_for_in_vain(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "_FIND_SECONDS", 0.02)
    monkeypatch.setattr(server, "initialize", asyncio.Event().wait)

    assert (await equipped(tool())).tools == []


async def test_a_host_that_is_not_allowed_is_not_asked(server: Server) -> None:
    assert (await equipped(tool(), allowedHosts=["other.example.com"])).tools == []
    assert server.built == []


async def test_a_name_that_the_agent_has_already_stays_what_it_is(server: Server) -> None:
    server.names = ("find", "other")
    agent = Agent(instructions="x", tools=[Server()._tool("find")])
    before = agent.tools[0]
    await servers(tool("a"), tool("b")).equip(agent)

    assert [each.id for each in agent.tools] == ["find", "other"]
    assert agent.tools[0] is before


@pytest.mark.parametrize(
    ("name", "parameters"), [("find it", PARAMETERS), ("find", {"type": "strin"})], ids=["its name", "its schema"]
)
async def test_what_models_cannot_call_is_left_out(server: Server, name: str, parameters: dict[str, Any]) -> None:
    server.names, server.parameters = (name,), parameters

    assert (await equipped(tool())).tools == []


async def test_servers_are_left_when_the_call_is_over(server: Server) -> None:
    of_a_call = servers(tool())
    await of_a_call.equip(Agent(instructions="x"))
    await of_a_call.aclose()

    assert server.is_closed


def test_an_image_without_the_library_says_so_before_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_mcp(tool()) is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    problem = check_mcp(tool())

    assert problem is not None
    assert problem.field == "spec.tools[orders].mcp"
    assert "voicefleet[mcp]" in problem.message
