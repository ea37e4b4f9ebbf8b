"""kopf as a source of events and nothing else: its handlers put keys into the queue and write nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
from kubernetes.aio import client

from voicefleet.api import GROUP, VERSION
from voicefleet.names import DOMAIN
from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.kube import NODES, PROVIDER_POOLS, VOICE_AGENTS, ResourceType, open_session
from voicefleet_operator.apiserver.unpacking import Answer
from voicefleet_operator.pulse import LastWord
from voicefleet_operator.sight.nodes import NodeWatch
from voicefleet_operator.turns.workqueue import WorkQueue

# kopf signs in anew after this time, since tokens of pods are replaced within the hour.
_LOGIN_FOR = timedelta(minutes=10)


def build_registry(
    cache: Cache, queue: WorkQueue, nodes: NodeWatch | None, watched: LastWord, configuration: client.Configuration
) -> kopf.OperatorRegistry:
    """Return what kopf is to watch: our own kinds, and nodes if we may."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login_with(configuration))
    for resource in (VOICE_AGENTS, PROVIDER_POOLS):
        kopf.on.event(GROUP, VERSION, resource.plural, id=f"observe-{resource.plural}", registry=registry)(
            _observe(resource, cache, queue, watched)
        )
    if nodes is not None:
        kopf.on.event("", "v1", NODES.plural, id="observe-nodes", registry=registry)(_observe_node(nodes, watched))
    return registry


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings; each that is not a default is here for a reason."""
    settings = kopf.OperatorSettings()
    # A stray peering object of somebody else would pause us.
    settings.peering.standalone = True
    settings.posting.enabled = False
    # No look-out for new CRDs and namespaces: that needs rights on both.
    settings.scanning.disabled = True
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 30
    # Unused, since nothing of ours makes kopf write; if that ever changed, it would carry our name.
    settings.persistence.finalizer = f"{DOMAIN}/kopf"
    # kopf would copy each object twice per event to find out what handlers that we don't have should know.
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = _NoProgress()
    # One task per object that changed, for as long as this; by default five times longer.
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = 25
    return settings


class _NoDiffs(kopf.DiffBaseStorage):
    """What an object was before is known by our cache."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: object) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: object) -> None:
        """Keep nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Nothing of kopf's is under way, ever."""

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        """Keep nothing."""

    def purge(self, **_: object) -> None:
        """Have nothing to take back."""

    def touch(self, **_: object) -> None:
        """Write nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def _observe(resource: ResourceType, cache: Cache, queue: WorkQueue, watched: LastWord) -> Callable[..., Any]:
    async def observe(event: dict[str, Any], **_: object) -> None:
        watched.note()
        for key in cache.observe(resource, event["object"], gone=event["type"] == "DELETED"):
            queue.add(key)

    return observe


def _observe_node(nodes: NodeWatch, watched: LastWord) -> Callable[..., Any]:
    async def observe(event: dict[str, Any], **_: object) -> None:
        watched.note()
        nodes.observe(event["object"], gone=event["type"] == "DELETED")

    return observe


def _login_with(configuration: client.Configuration) -> Callable[..., Any]:
    """Let kopf in by the same door as everything else."""

    async def login(**_: object) -> kopf.AiohttpSession:
        # This also reads a token that was replaced.
        token = await configuration.get_api_key_with_prefix("BearerToken")
        session = open_session(
            configuration,
            headers={"Authorization": token} if token else None,
            proxy=configuration.proxy,
            response_class=Answer,
        )
        return kopf.AiohttpSession(
            server=configuration.host, aiohttp_session=session, expiration=datetime.now(UTC) + _LOGIN_FOR
        )

    return login
