"""What happens to our pods, as it happens.

Pods are nearly all that happens in a cluster: their watch is ours, read with as little work for each event as can be.
It goes on from where the last list or watch ended, so that a connection that breaks costs no list, and it hears the
server's bookmarks, so that a server that has forgotten it is found out.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from http import HTTPStatus

from voicefleet_operator.apiserver.cache import Cache, agent_of
from voicefleet_operator.apiserver.kube import PODS, Body, Kube
from voicefleet_operator.errors import ApiError
from voicefleet_operator.pulse import Freshness, LastWord
from voicefleet_operator.sight.resync import SELECTOR, Resync
from voicefleet_operator.turns.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
Changed = Callable[[Key, Body], None]


class PodWatch:
    """Takes in what the apiserver tells about our pods, in one namespace or in all."""

    def __init__(self, kube: Kube, cache: Cache, queue: WorkQueue, resync: Resync, watched: LastWord) -> None:
        self._kube = kube
        self._cache = cache
        self._queue = queue
        self._resync = resync
        self._watched = watched
        self._scopes = {namespace: Freshness() for namespace in resync.scopes}

    def is_old(self, namespace: str) -> bool:
        """Tell whether what is known of the pods of a namespace is how they were some time ago."""
        scope = self._scopes.get(namespace) or self._scopes.get(None)
        return scope is not None and scope.is_old()

    async def run(self, changed: Changed) -> None:
        """Watch for ever, and tell at once of each pod that came or may have changed."""
        async with asyncio.TaskGroup() as group:
            for namespace, scope in self._scopes.items():
                group.create_task(self._watch(namespace, scope, changed))

    async def _watch(self, namespace: str | None, scope: Freshness, changed: Changed) -> None:
        version, failures = self._resync.version_of(PODS, namespace), 0
        # Until this moment lists have told.
        scope.heard()
        while True:
            # An end without a word is a failure, too: a server that hears us sends at least bookmarks.
            failures += 1
            try:
                if not version:
                    version = await self._resync.compare(PODS, namespace)
                    scope.heard()
                    for body in self._cache.pods:
                        changed(agent_of(body), body)
                watch = self._kube.watch(PODS.path(namespace), version=version, opened=scope.opened, **SELECTOR)
                async with aclosing(watch) as events:
                    async for event in events:
                        version, failures = self._take_in(event, changed), 0
                        scope.heard()
            except ApiError as error:
                # The server no longer knows what happened since then; a list does.
                version = "" if error.status == HTTPStatus.GONE else version
                logger.info("watching pods will be tried again", extra={"status": error.status, "error": str(error)})
            except Exception:
                # What one event holds must not end the watching of all others; a list steps over it.
                logger.exception("watching pods failed")
                version = ""
            scope.broke()
            await _pause(failures)

    def _take_in(self, event: Body, changed: Changed) -> str:
        body = event["object"]
        self._watched.note()
        if event["type"] != "BOOKMARK":
            for key in self._cache.observe(PODS, body, gone=event["type"] == "DELETED"):
                self._queue.add(key)
            # As it is here: a list or the answer to a write of ours may have been faster than this event.
            known = self._cache.pods.get(body["metadata"]["namespace"], body["metadata"]["name"])
            if known is not None:
                changed(agent_of(known), known)
        return str(body["metadata"]["resourceVersion"])


async def _pause(failures: int) -> None:
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10)) if failures else 0.0
    await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - a spread
