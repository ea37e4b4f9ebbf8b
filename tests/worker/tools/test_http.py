"""Requests of tools against a real server that is slow, wrong, endless, or somewhere else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.tools.http import HttpTools, ToolFailedError
from voicefleet_worker.tools.templates import RefusedError

Answer = Callable[[web.Request], Any]


class Service:
    """Somebody's service, which answers as a test says and notes what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.paths: list[str] = []
        self.answers: list[Answer] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, dict(request.headers), await request.text()))
        self.paths.append(request.raw_path)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response: web.StreamResponse = await answer(request)
        return response


async def ok(_: web.Request) -> web.Response:
    return web.json_response({"order": {"status": "sent"}})


def says(status: int, text: str = "") -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    return answer


busy = says(503)


async def broken(_: web.Request) -> web.Response:
    return web.Response(status=500, text="Traceback: secret things")


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(5)
    return web.Response()


async def endless(_: web.Request) -> web.Response:
    return web.Response(text="x" * 10_000)


async def elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("http://169.254.169.254/latest")


async def gone(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    it = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", it.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[HttpTools]:
    def mount() -> None:
        (tmp_path / "shop").mkdir()
        (tmp_path / "shop" / "key").write_text("k-1\n")
        (tmp_path / "shop" / "login").write_text("ada:hush")

    await asyncio.to_thread(mount)
    it = HttpTools(SecretFiles(tmp_path), ToolPolicy(), {})
    yield it
    await it.aclose()


def tool(service: Service, **http: Any) -> Tool:
    spec = {"url": f"{service.url}/x", "timeoutMilliseconds": 10_000, **http}
    return Tool.model_validate({"name": "t", "description": "d", "http": spec})


async def use(tools: HttpTools, of: Tool) -> str:
    assert of.http is not None
    return await tools.call(of, of.http, {})


async def test_an_answer_is_handed_on_and_values_are_taken_from_it(service: Service, tools: HttpTools) -> None:
    service.answers = [ok]
    mapped = tool(service, response=[{"variable": "status", "path": "$.order.status"}])

    assert await use(tools, mapped) == '{"order": {"status": "sent"}}'
    assert tools._variables == {"status": "sent"}


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": {"name": "shop", "key": "key"}}, "Authorization", "Bearer k-1"),
        ({"basic": {"name": "shop", "key": "login"}}, "Authorization", "Basic YWRhOmh1c2g="),
        ({"header": {"name": "X-Key", "secret": {"name": "shop", "key": "key"}}}, "X-Key", "k-1"),
    ],
    ids=["bearer", "basic", "header"],
)
async def test_secrets_are_read_when_they_are_needed(
    service: Service, tools: HttpTools, auth: dict[str, Any], header: str, value: str
) -> None:
    service.answers = [ok]
    await use(tools, tool(service, auth=auth))

    assert service.asked[0][1][header] == value


async def test_a_missing_secret_is_no_request(service: Service, tools: HttpTools) -> None:
    with pytest.raises(BadInputError):
        await use(tools, tool(service, auth={"bearer": {"name": "shop", "key": "other"}}))

    assert service.asked == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken, "the service answered with an error (status 500)"),
        (slow, "the service did not answer in time"),
        (gone, "the service is out of reach"),
        (endless, "the service answered with more than may be read"),
        (elsewhere, "the service sends us elsewhere, where the tool may not go"),
    ],
    ids=["500", "slow", "gone", "endless", "elsewhere"],
)
async def test_what_fails_is_told_in_words_that_give_nothing_away(
    service: Service, tools: HttpTools, answer: Answer, words: str
) -> None:
    service.answers = [answer]
    timeout = 300 if answer is slow else 10_000
    bounded = tool(service, maxResponseBytes=1000, timeoutMilliseconds=timeout, idempotent=True)
    with pytest.raises(ToolFailedError) as failed:
        await use(tools, bounded)

    assert str(failed.value) == words
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("answer", "is_in_doubt"),
    [
        (gone, True),
        (endless, True),
        (elsewhere, True),
        (broken, True),
        (says(502), True),
        (says(504), True),
        (busy, False),
        (says(400), False),
    ],
    ids=["gone", "endless", "elsewhere", "500", "502", "504", "503", "400"],
)
async def test_of_what_may_have_been_done_nobody_knows_and_the_model_is_told_so(
    service: Service, tools: HttpTools, answer: Answer, *, is_in_doubt: bool
) -> None:
    service.answers = [answer]
    with pytest.raises(ToolFailedError) as failed:
        await use(tools, tool(service, maxResponseBytes=1000))

    assert ("do not do it again" in str(failed.value)) == is_in_doubt
    assert len(service.asked) == 1


async def test_a_service_that_was_never_reached_has_done_nothing(service: Service, tools: HttpTools) -> None:
    nobody = tool(service, url="http://127.0.0.1:9/x")
    with pytest.raises(ToolFailedError) as failed:
        await use(tools, nobody)

    assert str(failed.value) == "the service is out of reach"


@pytest.mark.parametrize("body", ["", '{"status": NaN}', '{"status": [1e999]}'], ids=["none", "NaN", "infinity"])
async def test_what_was_done_is_no_failure_because_its_answer_cannot_be_read(
    service: Service, tools: HttpTools, body: str
) -> None:
    service.answers = [says(200, body)]

    assert await use(tools, tool(service, response=[{"variable": "status", "path": "$.status"}])) == body
    assert tools._variables == {}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("..;", "..%3B"),
        ("a;b=c&d", "a%3Bb%3Dc%26d"),
        ("%2e", "%252e"),
        ("é +", "%C3%A9%20%2B"),
    ],
    ids=["marks of an address", "up, as some servers read it", "parameters", "escaped", "letters"],
)
async def test_what_goes_out_is_what_was_escaped(service: Service, tools: HttpTools, value: str, written: str) -> None:
    """The client writes anew what it is given, and would take back some of it."""
    service.answers = [ok]
    tools._variables["v"] = value
    await use(
        tools, tool(service, method="GET", url=f"{service.url}/x/{{{{v}}}}/y?a={{{{v}}}}#z", query={"b": "{{v}}"})
    )
    await use(tools, tool(service, method="GET", url=f"{service.url}/x|y", query={"b": "{{v}}"}))

    assert service.paths == [f"/x/{written}/y?a={written}&b={written}", f"/x%7Cy?b={written}"]


async def test_no_request_is_made_twice_behind_our_back(service: Service, tools: HttpTools) -> None:
    """A client that finds an open line closed sends some requests again by itself."""
    service.answers = [ok, gone]
    await use(tools, tool(service, method="DELETE"))
    with pytest.raises(ToolFailedError):
        await use(tools, tool(service, method="DELETE"))

    assert len(service.asked) == 2


async def test_only_what_does_no_harm_twice_is_asked_again(service: Service, tools: HttpTools) -> None:
    service.answers = [busy, gone, ok]
    patient = tool(service, idempotent=True, retry={"attempts": 3, "backoffMilliseconds": 1})

    assert "sent" in await use(tools, patient)
    assert len(service.asked) == 3

    service.answers = [busy]
    with pytest.raises(ToolFailedError):
        await use(tools, tool(service))
    assert len(service.asked) == 4


@pytest.mark.parametrize("status", [404, 409, 410, 422])
async def test_what_a_service_says_about_the_matter_itself_reaches_the_model(
    service: Service, tools: HttpTools, status: int
) -> None:
    service.answers = [says(status, '{"free": ["10:00"]}')]

    assert await use(tools, tool(service)) == f'status {status}: {{"free": ["10:00"]}}'


async def test_a_long_page_about_an_error_that_passes_keeps_nobody_from_asking_again(
    service: Service, tools: HttpTools
) -> None:
    service.answers = [says(503, "x" * 10_000), ok]
    patient = tool(service, idempotent=True, retry={"attempts": 2, "backoffMilliseconds": 1}, maxResponseBytes=1000)

    assert "sent" in await use(tools, patient)


async def test_an_error_that_will_not_pass_is_not_asked_again(service: Service, tools: HttpTools) -> None:
    service.answers = [broken]
    with pytest.raises(ToolFailedError):
        await use(tools, tool(service, idempotent=True, retry={"attempts": 3, "backoffMilliseconds": 1}))

    assert len(service.asked) == 1


async def test_hosts_outside_the_policy_are_not_reached(service: Service, tmp_path: Path) -> None:
    tools = HttpTools(SecretFiles(tmp_path), ToolPolicy(allowed_hosts=("api.example.com",)), {})
    with pytest.raises(RefusedError):
        await use(tools, tool(service))

    assert service.asked == []
    await tools.aclose()
