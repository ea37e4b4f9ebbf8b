"""The apiserver, as fast as Python gets: one session, raw bodies, many requests at once."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from e2e.bench import Bench
from e2e.scale.objects import PODS_PATH, Manifest

CONCURRENCY = 32
# A thousand pods are deleted by one request.
_SECONDS = 180.0
_PATIENCE = 5
_NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class RefusedError(RuntimeError):
    """What the server answered instead."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


class Client:
    """Requests as cluster-admin."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @classmethod
    @asynccontextmanager
    async def open(cls, bench: Bench) -> AsyncIterator[Self]:
        """Connect for the length of a `with` block."""
        connector = aiohttp.TCPConnector(limit=2 * CONCURRENCY, ssl=ssl.create_default_context(cafile=bench.ca_file))
        headers = {"Authorization": f"Bearer {bench.admin_token}"}
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, timeout=timeout, trust_env=False
        ) as session:
            yield cls(session, bench.api_url)

    async def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON has no type
        """Read one path."""
        return await self._send("GET", path, None, query)

    async def post(self, path: str, body: Manifest) -> Any:  # noqa: ANN401 - JSON has no type
        """Create one object."""
        return await self._send("POST", path, body, {})

    async def merge(self, path: str, body: Manifest) -> Any:  # noqa: ANN401 - JSON has no type
        """Change some fields of an object."""
        return await self._send("PATCH", path, body, {}, "application/merge-patch+json")

    async def delete(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON has no type
        """Delete an object or a whole collection."""
        return await self._send("DELETE", path, None, query)

    async def clear(self, path: str) -> None:
        """Delete a whole collection at once; a server that gives up after a minute is asked for the rest."""
        for patience in reversed(range(_PATIENCE)):
            try:
                await self.delete(path, gracePeriodSeconds="0")
            except RefusedError as error:
                if error.status != HTTPStatus.GATEWAY_TIMEOUT or not patience:
                    raise
            else:
                return

    async def versions(self, path: str) -> dict[str, str]:
        """Return the version of each object of a collection."""
        async with self._session.get(self._url + path, headers={"Accept": _NAMES_ONLY}) as answer:
            answer.raise_for_status()
            items = json.loads(await answer.read())["items"]
        return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}

    async def count(self, path: str) -> int:
        """Count a collection without reading it."""
        answer = await self.get(path, limit="1")
        return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount") or 0)

    async def count_pods(self, namespaces: Iterable[str]) -> int:
        """Count the pods of these namespaces."""
        return sum(await asyncio.gather(*(self.count(PODS_PATH.format(namespace=name)) for name in namespaces)))

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[Any]:
        """Yield what happens to a collection from a version on."""
        query |= {"watch": "true", "resourceVersion": version}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(
            self._url + path, params=query, timeout=timeout, read_bufsize=2**20, max_line_size=2**20
        ) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                yield json.loads(line)

    async def _send(
        self, method: str, path: str, body: Manifest | None, query: dict[str, str], media: str = "application/json"
    ) -> Any:  # noqa: ANN401 - JSON has no type
        data = None if body is None else json.dumps(body).encode()
        async with self._session.request(
            method, self._url + path, data=data, params=query, headers={"Content-Type": media}
        ) as answer:
            text = await answer.read()
            if answer.status >= 300:
                words = f"{method} {path}: {answer.status} {text[:300].decode(errors='replace')}"
                raise RefusedError(words, answer.status)
            return json.loads(text)


async def all_at_once(acts: Iterable[Callable[[], Awaitable[object]]], *, width: int = CONCURRENCY) -> None:
    """Do many things, so many at a time."""
    gate = asyncio.Semaphore(width)

    async def do(act: Callable[[], Awaitable[object]]) -> None:
        async with gate:
            await act()

    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(do(act))


async def until(
    probe: Callable[[], Awaitable[bool]], what: str, *, within_seconds: float, every_seconds: float = 0.2
) -> float:
    """Ask again and again until the answer is yes; return how long that took, or fail naming what was waited for."""
    began = time.monotonic()
    while not await probe():
        if time.monotonic() - began > within_seconds:
            raise TimeoutError(f"not within {within_seconds:g} s: {what}")
        await asyncio.sleep(every_seconds)
    return time.monotonic() - began
