"""The wire between one of us and a server, which can be slow or cut while everybody else's is sound."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from e2e.bench import Bench

_CHUNK_BYTES = 65_536
_END_SECONDS = 5.0


class Wire:
    """A forwarder of bytes on loopback; it lives in a thread of its own."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._target = (address.hostname or "", address.port or 443)
        self._delay_seconds = 0.0
        self._cut: bytes | None = None
        self._writers: dict[asyncio.StreamWriter, bytes] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_END_SECONDS)
        self.url = f"{address.scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def slow_down(self, delay_seconds: float) -> None:
        """Let everything take so much longer in each direction; zero mends it."""
        self._delay_seconds = delay_seconds

    def cut(self, beginning: str = "") -> None:
        """End all connections whose first bytes are these, and let no new one through."""
        self._cut = beginning.encode()
        self._loop.call_soon_threadsafe(self._hang_up, self._cut)

    def mend(self) -> None:
        """Let connections through again."""
        self._cut = None

    def close(self) -> None:
        """End everything."""
        self.cut()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_SECONDS)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._carry, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hang_up(self, beginning: bytes) -> None:
        for writer, first in self._writers.items():
            if first.startswith(beginning):
                writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = b""
        try:
            # Whoever calls speaks first, in all protocols that go over a wire here.
            first = await reader.read(_CHUNK_BYTES)
            if self._cut is not None and first.startswith(self._cut):
                return
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers |= {writer: first, far_writer: first}
            far_writer.write(first)
            try:
                await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
            finally:
                del self._writers[far_writer]
                far_writer.transport.abort()
        except OSError:
            pass
        finally:
            del self._writers[writer]
            writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


class BehindWire(Bench):
    """A bench whose kubeconfigs lead over a wire."""

    def __init__(self, bench: Bench, wire: Wire) -> None:
        self.__dict__ |= vars(bench)
        self._wire = wire

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """Write a ServiceAccount's kubeconfig that points to the near end of the wire."""
        path = super().kubeconfig_for(namespace, service_account)
        text = path.read_text()
        assert self.api_url in text
        path.write_text(text.replace(self.api_url, self._wire.url))
        return path


@contextmanager
def wire_to(bench: Bench) -> Iterator[Wire]:
    """Lay a wire to a bench's apiserver."""
    wire = Wire(bench.api_url)
    try:
        yield wire
    finally:
        wire.close()
