"""Requests of HTTP tools: bounded in time and size, to no other host, and again only where that does no harm."""

import asyncio
import json
import logging
import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from yarl import URL

from voicefleet.api.voiceagent.tools import HttpTool, Tool, ToolPolicy
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.tools.auth import prove
from voicefleet_worker.tools.templates import HttpRequest, Values, build_request, check_host, take_from_answer

logger = logging.getLogger("voicefleet.call")

_PASSING = frozenset({
    HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
})  # fmt: skip
_WORTH_TELLING = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY)
# What a service, or a proxy before it, says as well when the matter was done, or may have been.
_MAY_BE_DONE = (
    HTTPStatus.FOUND, HTTPStatus.SEE_OTHER,
    HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT,
)  # fmt: skip
TOO_LONG = "the service answered with more than may be read"
_ELSEWHERE = "the service sends us elsewhere, where the tool may not go"
DOUBT = "it is not known whether it took effect, so do not do it again"


class ToolFailedError(Exception):
    """A request that brought nothing; says why in words for the model."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str


class HttpTools:
    """The HTTP tools of one agent. What they bring fills variables as that agent sees them."""

    def __init__(self, secrets: SecretFiles, policy: ToolPolicy, variables: MutableMapping[str, str]) -> None:
        self._secrets = secrets
        self._policy = policy
        self._variables = variables
        self._session: aiohttp.ClientSession | None = None

    async def call(self, tool: Tool, http: HttpTool, arguments: Values) -> str:
        """Make a tool's request and return what it brings, for the model to read."""
        request = build_request(tool, http, arguments, self._variables)
        check_host(request.url, http.url, tuple(self._policy.allowed_hosts))
        answer = await self._ask_until_answered(http, request)
        if answer.status in _WORTH_TELLING:
            # Such as that a time is taken, and which ones are not.
            return f"status {answer.status}: {answer.text}"
        doubt = _doubt(http) if answer.status in _MAY_BE_DONE else ""
        if answer.status >= HTTPStatus.BAD_REQUEST:
            logger.warning("tool failed", extra={"tool": tool.name, "problem": f"status {answer.status}"})
            raise ToolFailedError(f"the service answered with an error (status {answer.status}){doubt}")
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ToolFailedError(_ELSEWHERE + doubt)
        self._keep(http, answer.text)
        return answer.text

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask_until_answered(self, http: HttpTool, request: HttpRequest) -> _Answer:
        attempts = http.retry.attempts if http.retry is not None and http.idempotent else 1
        pause_seconds = (http.retry.backoff_milliseconds if http.retry is not None else 0) / 1000
        for left in reversed(range(attempts)):
            try:
                answer = await self._ask(http, request)
                if answer.status not in _PASSING or not left:
                    return answer
            except (aiohttp.ClientError, TimeoutError) as error:
                if not left:
                    # Whoever was never reached has done nothing.
                    doubt = "" if isinstance(error, aiohttp.ClientConnectorError) else _doubt(http)
                    raise ToolFailedError(_in_words(error) + doubt) from error
            await asyncio.sleep(pause_seconds)
            pause_seconds *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _ask(self, http: HttpTool, request: HttpRequest) -> _Answer:
        headers = {**dict(request.headers), **await prove(http.auth, self._secrets)}
        session = self._session = self._session or _new_session()
        async with session.request(
            request.method,
            # By itself the client would write some of what a value holds as it stands.
            URL(request.address, encoded=True),
            headers=headers,
            data=request.body,
            timeout=aiohttp.ClientTimeout(total=http.timeout_milliseconds / 1000),
            ssl=await self._trust(http),
            # Where it leads nobody has allowed.
            allow_redirects=False,
        ) as answer:
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES and answer.status not in _WORTH_TELLING:
                return _Answer(answer.status, "")
            text = await _read(answer, http.max_response_bytes)
            if text is None:
                raise ToolFailedError(TOO_LONG + _doubt(http))
            return _Answer(answer.status, text)

    async def _trust(self, http: HttpTool) -> ssl.SSLContext | bool:
        if http.ca_certificate is None:
            return True
        certificate = await asyncio.to_thread(self._secrets.read, http.ca_certificate)
        return await asyncio.to_thread(ssl.create_default_context, cadata=certificate)

    def _keep(self, http: HttpTool, text: str) -> None:
        if not http.response:
            return
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            # What was asked for is done all the same.
            logger.warning("a tool's answer is no JSON, and fills no variable")
            return
        for mapping in http.response:
            value = take_from_answer(answer, mapping.path)
            if value is not None:
                self._variables[mapping.variable] = value


def _new_session() -> aiohttp.ClientSession:
    """Return a session that asks once and carries nothing from one tool to the next.

    A line that was kept open may have been closed meanwhile, and then nobody would know whether it had been asked.
    """
    connector = aiohttp.TCPConnector(force_close=True)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    # Not public, and nothing public does it: by itself the client would send a DELETE or PUT again.
    session._retry_connection = False
    return session


async def _read(answer: aiohttp.ClientResponse, most_bytes: int) -> str | None:
    """Return the answer's text, or None if it is longer than that."""
    body = b""
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > most_bytes:
            return None
    try:
        return body.decode(answer.charset or "utf-8", errors="replace")
    except LookupError:
        return body.decode(errors="replace")


def _doubt(http: HttpTool) -> str:
    """Say what is not known after a request whose answer never came, or does not tell."""
    harmless = http.idempotent or http.method == "GET"
    return "" if harmless else f"; {DOUBT}"


def _in_words(error: Exception) -> str:
    return "the service did not answer in time" if isinstance(error, TimeoutError) else "the service is out of reach"
