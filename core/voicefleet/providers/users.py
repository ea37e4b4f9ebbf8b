"""Who uses a pool, and whether it may go."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from voicefleet.api import ProviderPool
from voicefleet.names import POOL_FINALIZER
from voicefleet.providers.alone import Sharing
from voicefleet.providers.fleet_view import ProviderView

_NAMED = 3


@dataclass(frozen=True, slots=True)
class User:
    """A VoiceAgent that draws on a pool, and may."""

    namespace: str
    name: str
    is_leaving: bool = False
    """It is being deleted."""
    missing_secret: str = ""
    """What its workers lack to start, in the words of its own status."""
    livekit_refuses: str = ""
    """That LiveKit takes its workers' key for a wrong one, in the same words."""
    livekit_silent: str = ""
    """That its workers cannot reach LiveKit, in the same words."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """A pool with all that is known of it."""

    pool: ProviderPool
    users: tuple[User, ...] = ()
    views: tuple[ProviderView, ...] = ()
    has_workers: bool = False
    """Some worker that uses it has come up."""
    sharing: Sharing = field(default_factory=Sharing)
    """Of the workers, where the pool names a Redis."""

    @property
    def is_leaving(self) -> bool:
        """Tell whether it is being deleted."""
        return self.pool.metadata.deletion_timestamp is not None


def plan_pool_finalizers(
    finalizers: Sequence[str], users: Collection[User], *, is_leaving: bool
) -> tuple[str, ...] | None:
    """Return who must agree before a pool goes, if that is to change: a pool that is used waits for its users.

    One that nobody uses is not held back, so that it goes even where no operator runs any more. To one that is being
    deleted the server lets nobody add anything.
    """
    held = POOL_FINALIZER in finalizers
    if users and not held and not is_leaving:
        return (*finalizers, POOL_FINALIZER)
    if held and not users:
        return tuple(name for name in finalizers if name != POOL_FINALIZER)
    return None


def name_some(things: Sequence[object]) -> str:
    """Name a few of many."""
    more = f" and {len(things) - _NAMED} more" if len(things) > _NAMED else ""
    return ", ".join(map(str, things[:_NAMED])) + more
