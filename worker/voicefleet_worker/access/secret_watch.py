"""Mounted Secrets that change under a running worker: it says so, and the kubelets of its fleet need not be waited for.

A kubelet writes what a Secret's volume holds into a new directory, and then lets the link `..data` point to that, only
if something in it is new. So the links tell that there was a change, and no value is read here (promise 5).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger("voicefleet.worker")

LOOK_SECONDS = 1.0
_LINK = "..data"


@dataclass(slots=True)
class SecretWatch:
    """Looks at the links in the directory of mounted Secrets, and tells when one points elsewhere than before."""

    directory: Path
    changed: Callable[[], None]
    _known: dict[Path, Path] = field(default_factory=dict)

    async def look(self) -> None:
        """Look once; what was never seen before has not changed."""
        found = await asyncio.to_thread(self._read)
        if any(self._known.get(link, target) != target for link, target in found.items()):
            logger.info("mounted Secrets have changed")
            self.changed()
        self._known |= found

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def _read(self) -> dict[Path, Path]:
        try:
            return {link: link.readlink() for link in self.directory.glob(f"*/{_LINK}") if link.is_symlink()}
        except OSError:
            # A volume that goes while it is looked at; whatever is wrong here, calls go on.
            return {}
