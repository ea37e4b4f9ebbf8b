"""Who can look for the callers of an agent that has no workers."""

from collections.abc import Iterable, Iterator

from voicefleet.api import VoiceAgent
from voicefleet.fleet import PodRef
from voicefleet.fleet.callers import can_watch
from voicefleet.fleet.lookout import Lookout, can_look_out
from voicefleet.fleet.size import may_sleep
from voicefleet.names import ANNOTATION_LIVEKIT, lookout_name
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.handlers.observing_pods import is_owned, pods_of, read_starting, read_worker
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.workqueue import Key


async def observe_lookout(ports: Ports, key: Key, agent: VoiceAgent, stamp: str) -> Lookout:
    """Return an agent's lookout, and who looks for its callers, which may be one of another agent of its pool.

    By the stamp a pod is known to be on the agent's own LiveKit; without one nobody is.
    """
    body = _lookout_body(ports, key)
    own = await read_starting(ports, body) if body is not None else None
    if not may_sleep(agent.spec):
        return Lookout(own)
    pool = agent.spec.provider_pool_ref
    users = {_key_of(body): body for body in ports.cache.users_of(pool.namespace or key.namespace, pool.name)}
    sleepy = sorted((each for each, body in users.items() if _may_sleep(body)), key=str)
    sleeping = set(sleepy)
    # Each has its own order of them, so that not all ask the same one.
    awake = sorted((each for each in users if each not in sleeping), key=lambda other: hash((key, other)))
    watchmen = _watchmen(ports, stamp, awake, sleepy) if stamp else iter(())
    rank = sleepy.index(key) if key in sleeping else len(sleepy)
    return Lookout(own, next(watchmen, None), rank, may_sleep=True)


def _watchmen(ports: Ports, stamp: str, awake: Iterable[Key], sleepy: Iterable[Key]) -> Iterator[PodRef]:
    """Yield who can look on a LiveKit, best first.

    Workers only of agents that do not sleep: of two who watched over each other, both might go to sleep at once.
    """
    now = ports.now()
    for other in awake:
        for body in pods_of(ports, other):
            if _is_at(stamp, body) and can_watch(worker := read_worker(ports, body), now):
                yield worker.pod.ref
    for other in sleepy:
        found = _lookout_body(ports, other)
        if found is not None and _is_at(stamp, found) and can_look_out(lookout := read_worker(ports, found), now):
            yield lookout.pod.ref


def _is_at(stamp: str, pod: Body) -> bool:
    return bool(pod["metadata"].get("annotations", {}).get(ANNOTATION_LIVEKIT) == stamp)


def _lookout_body(ports: Ports, key: Key) -> Body | None:
    body = ports.cache.pods.get(key.namespace, lookout_name(key.name))
    return body if body is not None and is_owned(ports, key, body) else None


def _key_of(agent: Body) -> Key:
    return Key("VoiceAgent", agent["metadata"]["namespace"], agent["metadata"]["name"])


def _may_sleep(agent: Body) -> bool:
    """Tell what `may_sleep` tells, of an agent of which nobody has read the spec here."""
    spec, scaling = agent["spec"], agent["spec"].get("scaling", {})
    sleeps = scaling.get("scaleToZero") and scaling.get("min") == 0 and scaling.get("mode", "Auto") == "Auto"
    return bool(sleeps) and not spec.get("suspend") and "deletionTimestamp" not in agent["metadata"]
