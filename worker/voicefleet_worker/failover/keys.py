"""Keys that are replaced while the worker runs: who refused the one before is asked again.

Nobody tells of it, so the files are looked at every other second. It counts only that the key is another one than that
which was refused: a key that is new and wrong stays refused, and one that was replaced a moment before a call of
longer standing was refused the old one is tried at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.beside import beside
from voicefleet_worker.failover.board import HealthBoard

logger = logging.getLogger("voicefleet.worker")

LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class KeyWatch:
    """Keeps the board true to the keys that there are."""

    board: HealthBoard
    secrets: SecretFiles

    async def look(self) -> None:
        """Read each provider's key, and let those be asked again that refused another one."""
        for name in self.board.take_keys(await asyncio.to_thread(self._fingerprints)):
            logger.info("provider has another key and is asked again", extra={"provider": name})

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await self.look()
        except Exception:
            # Whatever is wrong here, calls go on.
            logger.exception("keys are not looked at any more")

    def _fingerprints(self) -> dict[str, int]:
        return {name: self.secrets.fingerprint(known.provider.api_key) for name, known in self.board.known.items()}


@contextlib.asynccontextmanager
async def watching_keys(board: HealthBoard, secrets: SecretFiles) -> AsyncIterator[None]:
    """Watch the keys while the body runs; what it learns of others goes by the keys from the first moment on."""
    watch = KeyWatch(board, secrets)
    await watch.look()
    async with beside(watch.run()):
        yield
