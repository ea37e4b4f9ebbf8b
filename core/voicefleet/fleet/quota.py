"""What providers let a fleet have: so many calls at once, some of which other agents of the pool may hold.

A call hears from its first word to its last, so that whoever hears bounds the calls. It thinks and speaks now and then,
and quotas of those jobs bound none.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from voicefleet.api import ProviderPool
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.autoscaling.load import Ceiling
from voicefleet.wording import plural

Hearing = frozenset[tuple[str, str]]
"""Who may hear an agent's calls: uid of the pool, and name of the provider."""


@dataclass(slots=True)
class HeldCalls:
    """How many calls agents hold whose hearing is bounded, kept as each agent is looked at."""

    _of: dict[str, tuple[Hearing, int]] = field(default_factory=dict)
    _sums: Counter[Hearing] = field(default_factory=Counter)

    def note(self, agent: str, hearing: Hearing | None, calls: int) -> None:
        """Take down what an agent holds; one whose calls nothing bounds takes no sure part of anybody's quota."""
        self.forget(agent)
        if hearing is not None:
            self._of[agent] = (hearing, calls)
            self._sums[hearing] += calls

    def forget(self, agent: str) -> None:
        """Drop what an agent held that is gone."""
        hearing, calls = self._of.pop(agent, (frozenset(), 0))
        self._sums[hearing] -= calls
        if not self._sums[hearing]:
            del self._sums[hearing]

    def by_others(self, agent: str, hearing: Hearing | None) -> int:
        """Count the calls of other agents that nobody but these can hear."""
        if hearing is None:
            return 0
        own = self._of.get(agent, (hearing, 0))[1]
        return sum(calls for others, calls in self._sums.items() if others <= hearing) - own


def bounded_hearing(spec: VoiceAgentSpec, pool: ProviderPool) -> Hearing | None:
    """Return who hears an agent's calls, if each of them has a quota of streams."""
    streams = _bounded_streams(spec, pool)
    return frozenset((pool.metadata.uid or "", name) for name in streams) if streams else None


def quota_ceiling(spec: VoiceAgentSpec, pool: ProviderPool, *, held_by_others: int, workers: int) -> Ceiling | None:
    """Return what providers forbid, if they do; so many workers there are now.

    What others hold keeps a fleet from growing and takes nothing from it that it has: with each of their calls that
    comes or goes a worker would be closed or opened.
    """
    bounded, slots = _bounded_streams(spec, pool), spec.worker.sessions_per_worker
    if not bounded:
        return None
    streams = sum(bounded.values())
    left = -(-max(0, streams - held_by_others) // slots)
    most = min(-(-streams // slots), max(left, workers, spec.scaling.min))
    words = f"the quota of {', '.join(bounded)} is {plural(streams, 'call')} at once"
    others = f", {held_by_others} of them with other agents" if held_by_others else ""
    stay = f"; {most} may stay" if most > left else ""
    return Ceiling("ProviderQuota", most, f"{words}{others}: {plural(left, 'worker')} of {slots}{stay}")


def _bounded_streams(spec: VoiceAgentSpec, pool: ProviderPool) -> Mapping[str, int]:
    """Return the quotas of those who hear an agent's calls; nothing if one of them has none."""
    pipeline = spec.voice.pipeline
    chosen = pipeline.stt.providers if pipeline is not None and spec.voice.realtime is None else ()
    role = "Stt" if spec.voice.realtime is None else "Realtime"
    ears = [p for p in pool.spec.providers if p.role == role and p.enabled and (not chosen or p.name in chosen)]
    streams = {p.name: p.quota.concurrent for p in ears if p.quota is not None and p.quota.concurrent is not None}
    return streams if len(streams) == len(ears) else {}
