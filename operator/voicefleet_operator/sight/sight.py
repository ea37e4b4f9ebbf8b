"""What a process sees of the cluster, whether it leads or stands by.

A standby that begins to list when it is to lead keeps callers waiting for as long as that takes; one that has looked on
all the time only asks what was decided by people meanwhile.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.kube import PROVIDER_POOLS, VOICE_AGENTS, Kube
from voicefleet_operator.errors import ApiError, ConfigError
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.pulse import LastWord
from voicefleet_operator.sight.nodes import Nodes, NodeWatch
from voicefleet_operator.sight.podwatch import Changed, PodWatch
from voicefleet_operator.sight.resync import Resync
from voicefleet_operator.sight.rounds import Rounds
from voicefleet_operator.sight.secretwatch import SecretWatch
from voicefleet_operator.turns.workqueue import WorkQueue

logger = logging.getLogger(__name__)

_AGAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class MaySee:
    """What an operator sees only where whoever installs it lets it."""

    nodes: bool = True
    """They are nobody's namespace: who works in some only may have no right to them."""
    secrets: bool = False


_THE_USUAL = MaySee()


class Sight:
    """The cache, and all that keeps it true but for kopf, which only a leader has."""

    def __init__(
        self, kube: Kube, namespaces: Sequence[str], metrics: Metrics, watched: LastWord, may_see: MaySee = _THE_USUAL
    ) -> None:
        self.kube = kube
        self.cache = Cache()
        self.queue = WorkQueue()
        """Whoever changed while nobody took turns is looked at as soon as somebody does."""
        self.resync = Resync(kube, self.cache, self.queue, namespaces, metrics)
        self.nodes = NodeWatch(Nodes(), self.cache, self.queue, kube) if may_see.nodes else None
        self.secrets = SecretWatch(kube, self.cache, self.queue, self.resync.scopes) if may_see.secrets else None
        self.rounds = (Rounds(), Rounds())
        self._pods = PodWatch(kube, self.cache, self.queue, self.resync, watched)
        self._looking = asyncio.Lock()
        self._is_whole = False

    def is_old(self, namespace: str) -> bool:
        """Tell whether what is known of the pods of a namespace is how they were some time ago."""
        return self._pods.is_old(namespace)

    @asynccontextmanager
    async def kept(self, changed: Changed) -> AsyncIterator[None]:
        """Look on for the length of the block, and tell at once of each pod that came or changed."""
        keeping = asyncio.create_task(self._keep(changed), name="sight")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def catch_up(self) -> None:
        """Know everything before anything is decided; a cluster that does not let us know ends the process."""
        async with self._looking:
            try:
                await (self._look_again() if self._is_whole else self._look())
            except ApiError as error:
                raise _explain(error) from error

    async def _keep(self, changed: Changed) -> None:
        while not await self._has_looked():  # noqa: ASYNC110 - the cluster does not say when it can be listed
            await asyncio.sleep(_AGAIN_SECONDS)
        looks = [self._pods.run(changed), self.resync.run(self.rounds[0])]
        looks += [self.nodes.run(self.rounds[1])] if self.nodes is not None else []
        looks += [self.secrets.run()] if self.secrets is not None else []
        # One that fails for good must not take the others along.
        await asyncio.gather(*looks, return_exceptions=True)

    async def _has_looked(self) -> bool:
        try:
            async with self._looking:
                await self._look()
        except ApiError as error:
            logger.warning("nothing can be listed yet", extra={"status": error.status, "error": str(error)})
        except Exception:
            # Whoever comes to lead finds the same, and ends of it.
            logger.exception("looking failed")
        return self._is_whole

    async def _look(self) -> None:
        if not self._is_whole:
            await self.resync.compare_all()
            await self._list_nodes()
            self._is_whole = True

    async def _look_again(self) -> None:
        await self.resync.compare_each((VOICE_AGENTS, PROVIDER_POOLS))
        await self._list_nodes()

    async def _list_nodes(self) -> None:
        if self.nodes is not None:
            await self.nodes.list_all()


def _explain(error: ApiError) -> Exception:
    if error.status == HTTPStatus.NOT_FOUND:
        return ConfigError("the cluster does not know VoiceAgents: install the CRDs (kubectl apply -f crds/)")
    if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        return ConfigError(f"the cluster refuses what the operator needs: {error}")
    return error
