"""A worker that uses tools of MCP servers, on a real LiveKit server, with a caller who hears their answers."""

import json
from collections.abc import Iterator

import pytest

from e2e.bench import Bench
from e2e.caller import Line
from e2e.mcp_server import TOKEN, running_mcp_server
from e2e.providers import Providers
from e2e.test_worker_tools import answer, call
from e2e.working import Worker, run_worker, write_files

# The same over both transports without a call is in test_mcp_tools.
pytestmark = [pytest.mark.timeout(240), pytest.mark.proof]


@pytest.fixture(scope="module", params=["StreamableHttp", "Sse"])
def worker(
    request: pytest.FixtureRequest, bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    arguments = write_files(folder, bench, providers, "mcp")
    with running_mcp_server(request.param) as url:
        parcels = {
            "url": url,
            "transport": request.param,
            "auth": {"bearer": {"name": "mcp", "key": "token"}},
            "allowedTools": ["track_parcel", "cancel_parcel", "search_archive"],
            "timeoutMilliseconds": 4000,
        }
        tools = [
            {"name": "parcels", "description": "d", "mcp": parcels, "filler": {"phrases": ["I am having a look."]}},
            {"name": "gone", "description": "d", "mcp": {"url": "http://127.0.0.1:9/mcp"}},
        ]
        agent = json.loads((folder / "agent.json").read_text())
        agent["spec"]["tools"] = tools
        agent["spec"]["agents"][0]["tools"] = ["parcels", "gone"]
        (folder / "agent.json").write_text(json.dumps(agent))
        (folder / "secrets" / "mcp").mkdir()
        (folder / "secrets" / "mcp" / "token").write_text(TOKEN)
        with run_worker(folder, arguments, "mcp") as running:
            yield running


async def test_the_answer_of_a_servers_tool_is_spoken(worker: Worker, providers: Providers, line: Line) -> None:
    said = await answer(worker, providers, line, {"name": "track_parcel", "arguments": {"number": 7}})

    assert "Parcel 7 arrives on Thursday" in said
    missing = [record["tool"] for record in worker.records() if record["message"] == "tools of a server are missing"]
    assert set(missing) == {"gone"}, "the other server costs nothing but its own tools"
    assert TOKEN not in worker.log.read_text()


async def test_what_a_server_says_of_a_failure_is_told_to_the_model(
    worker: Worker, providers: Providers, line: Line
) -> None:
    said = await answer(worker, providers, line, {"name": "cancel_parcel", "arguments": {"number": 7}})

    assert "parcel 7 is on its way" in said


async def test_a_server_that_takes_its_time_is_no_silence(worker: Worker, providers: Providers, line: Line) -> None:
    said = await answer(worker, providers, line, call("search_archive", words="ada"))

    filler, _, rest = said.partition("I am having a look.")
    assert not filler
    assert rest.strip(), "and the call goes on when the server has failed"


async def test_a_tool_that_is_not_allowed_is_not_offered(worker: Worker, providers: Providers, line: Line) -> None:
    said = await answer(worker, providers, line, call("hidden"))

    assert "We are open from nine to five" in said
