"""kopf hands over events and leaves no trace."""

from kubernetes.aio import client

from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.pulse import LastWord
from voicefleet_operator.sight.watching import build_registry, build_settings
from voicefleet_operator.turns.workqueue import WorkQueue


def test_kopf_has_nothing_but_handlers_that_watch() -> None:
    registry = build_registry(Cache(), WorkQueue(), None, LastWord(), client.Configuration())

    assert len(registry._watching._handlers) == 2
    assert not registry._changing._handlers
    assert not registry._spawning._handlers
    assert not registry._indexing._handlers
    assert not registry._webhooks._handlers


def test_kopf_neither_posts_nor_peers_nor_asks_for_more_rights() -> None:
    settings = build_settings()

    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.queueing.worker_limit is None
