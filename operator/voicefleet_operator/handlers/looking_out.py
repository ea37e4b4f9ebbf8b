"""Who can look for the callers of an agent that has no workers."""

from collections.abc import Iterator

from voicefleet.api import VoiceAgent
from voicefleet.fleet import PodRef, Worker
from voicefleet.fleet.callers import can_watch
from voicefleet.fleet.lookout import Lookout, can_look_out
from voicefleet.fleet.size import may_sleep
from voicefleet.names import lookout_name
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.handlers.observing import is_owned, read_worker
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.workqueue import Key


def observe_lookout(ports: Ports, key: Key, agent: VoiceAgent) -> Lookout:
    """Return an agent's lookout, and who looks for its callers, which may be one of another agent of its pool."""
    own = _lookout_of(ports, key)
    if not may_sleep(agent.spec):
        return Lookout(own)
    pool = agent.spec.provider_pool_ref
    users = {_key_of(body): body for body in ports.cache.users_of(pool.namespace or key.namespace, pool.name)}
    sleepy = sorted((each for each, body in users.items() if _may_sleep(body)), key=str)
    watchmen = _watchmen(ports, key, awake=[each for each in users if each not in sleepy], sleepy=sleepy)
    rank = sleepy.index(key) if key in sleepy else len(sleepy)
    return Lookout(own, next(watchmen, None), rank, may_sleep=True)


def _watchmen(ports: Ports, key: Key, *, awake: list[Key], sleepy: list[Key]) -> Iterator[PodRef]:
    """Yield who can look on the agent's LiveKit, best first.

    Workers only of agents that do not sleep: of two who watched over each other, both might go to sleep at once.
    """
    now = ports.now()
    # Each has its own order of them, so that not all ask the same one.
    for other in sorted(awake, key=lambda other: hash((key, other))):
        for body in ports.cache.pods.of_agent(other.namespace, other.name):
            worker = read_worker(ports, body)
            if can_watch(worker, now):
                yield worker.pod.ref
    for other in sleepy:
        lookout = _lookout_of(ports, other)
        if lookout is not None and can_look_out(lookout, now):
            yield lookout.pod.ref


def _lookout_of(ports: Ports, key: Key) -> Worker | None:
    body = ports.cache.pods.get(key.namespace, lookout_name(key.name))
    return read_worker(ports, body) if body is not None and is_owned(ports, key, body) else None


def _key_of(agent: Body) -> Key:
    return Key("VoiceAgent", agent["metadata"]["namespace"], agent["metadata"]["name"])


def _may_sleep(agent: Body) -> bool:
    """Tell what `may_sleep` tells, of an agent of which nobody has read the spec here."""
    spec, scaling = agent["spec"], agent["spec"].get("scaling", {})
    sleeps = scaling.get("scaleToZero") and scaling.get("min") == 0 and scaling.get("mode", "Auto") == "Auto"
    return bool(sleeps) and not spec.get("suspend") and "deletionTimestamp" not in agent["metadata"]
