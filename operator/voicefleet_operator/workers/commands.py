"""Commands to a worker's control port, and what it answers."""

import logging
from http import HTTPStatus

import aiohttp

from voicefleet.names import CONTROL_PORT
from voicefleet_operator.ports import Address

logger = logging.getLogger(__name__)

_COMMAND_SECONDS = 3.0
_LONGEST_ANSWER = 65_536


class Commands:
    """Gives commands; who does not take one is noted, and given it again when it is still the right one."""

    def __init__(self) -> None:
        # A connection that is kept would lead to whoever had the address before.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False)

    async def give(self, address: Address, path: str, body: str | None) -> bytes | None:
        """Return the answer, or nothing if the worker does not take the command."""
        try:
            async with self._session.post(
                f"http://{host_of(address)}:{CONTROL_PORT}{path}",
                data=body,
                headers=headers_for(address),
                timeout=aiohttp.ClientTimeout(total=_COMMAND_SECONDS),
                allow_redirects=False,
            ) as response:
                _expect_success(response)
                return await response.content.read(_LONGEST_ANSWER)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Nothing is taken for granted: only the worker's own state says that it is cordoned.
            logger.warning(
                "a worker does not take a command",
                extra={"pod": address.pod, "path": path, "error": type(error).__name__},
            )
            return None

    async def aclose(self) -> None:
        """Give no more commands."""
        await self._session.close()


def host_of(address: Address) -> str:
    """Return a host as URLs write it."""
    return f"[{address.host}]" if ":" in address.host else address.host


def headers_for(address: Address) -> dict[str, str]:
    """Return what opens a worker's control port."""
    return {"Authorization": f"Bearer {address.token}"}


def _expect_success(response: aiohttp.ClientResponse) -> None:
    response.raise_for_status()
    if response.status != HTTPStatus.OK:
        # A worker sends nobody elsewhere, and we would not go.
        raise aiohttp.ClientPayloadError(f"status {response.status}")
