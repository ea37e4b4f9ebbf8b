"""An agent's pods, and what its workers have said."""

from collections.abc import Iterable
from dataclasses import replace

from voicefleet.fleet import Fleet, Worker
from voicefleet.manifests.children import control_token
from voicefleet.names import lookout_name
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.ports import Address, Ports
from voicefleet_operator.sight.pods import address_of, find_start_failure, read_pod, waits_for_volumes
from voicefleet_operator.turns.workqueue import Key

# Enough for a word about what is wrong; ten pods of a fleet rarely wait for ten things.
_PODS_ASKED_ABOUT = 3


async def observe_fleet(ports: Ports, key: Key) -> tuple[Fleet, bool]:
    """Return an agent's fleet, and whether some of it waits for something that only events tell."""
    bodies = follow_workers(ports, key)
    waiting = [body for body in bodies if waits_for_volumes(body)]
    failures = await _read_start_failures(ports, waiting[:_PODS_ASKED_ABOUT])
    workers = tuple(read_worker(ports, body, failures.get(body["metadata"]["uid"])) for body in bodies)
    return Fleet(workers, is_old=ports.pods_are_old(key.namespace)), bool(waiting)


def read_worker(ports: Ports, body: Body, start_failure: str | None = None) -> Worker:
    """Return a pod with what its worker has said."""
    pod = read_pod(body, start_failure)
    if ports.nodes.must_go(body):
        pod = replace(pod, node_is_leaving=True)
    if (written_at := ports.secrets_written_at(body)) is not None:
        pod = replace(pod, secrets_written_at=written_at)
    return Worker(pod, ports.workers.heard(pod.ref.uid), ports.workers.problem(pod.ref.uid))


async def read_starting(ports: Ports, body: Body) -> Worker:
    """Return the same, and what only events tell of a pod that does not start."""
    failures = await _read_start_failures(ports, [body] if waits_for_volumes(body) else [])
    return read_worker(ports, body, failures.get(body["metadata"]["uid"]))


def follow_workers(ports: Ports, key: Key) -> list[Body]:
    """Hear an agent's workers and its lookout from now on, and return the workers' pods."""
    bodies = _pods_of(ports, key)
    token = control_token(ports.control_key, key.namespace, key.name)
    addresses = {
        body["metadata"]["uid"]: Address(key.namespace, body["metadata"]["name"], host, token)
        for body in bodies
        if (host := address_of(body))
    }
    ports.workers.follow(key, addresses)
    return _without_lookout(key, bodies)


def pods_of(ports: Ports, key: Key) -> list[Body]:
    """Return the pods of an agent's workers."""
    return _without_lookout(key, _pods_of(ports, key))


def _pods_of(ports: Ports, key: Key) -> list[Body]:
    """Return an agent's pods; one that is owned by a namesake is not among them."""
    uid = uid_of(ports, key)
    return [body for body in ports.cache.pods.of_agent(key.namespace, key.name) if uid in _owners(body)]


def _without_lookout(key: Key, bodies: Iterable[Body]) -> list[Body]:
    name = lookout_name(key.name)
    return [body for body in bodies if body["metadata"]["name"] != name]


def is_owned(ports: Ports, key: Key, body: Body) -> bool:
    """Tell whether a pod belongs to an agent, and not to a namesake that was there before it."""
    return uid_of(ports, key) in _owners(body)


def hear_pod(ports: Ports, key: Key, body: Body) -> None:
    """Hear a worker that has just come up, however long its agent waits for its turn.

    One that is up and was never heard may hold calls for all we know: of thousands that are merely not yet listened
    to, each would be guarded and marked.
    """
    if (host := address_of(body)) and is_owned(ports, key, body):
        token = control_token(ports.control_key, key.namespace, key.name)
        address = Address(key.namespace, body["metadata"]["name"], host, token)
        ports.workers.hear(key, body["metadata"]["uid"], address)


def uid_of(ports: Ports, key: Key) -> str | None:
    """Return the uid of an agent that exists."""
    agent = ports.cache.agents.get(key.namespace, key.name)
    return agent["metadata"]["uid"] if agent else None


def _owners(body: Body) -> set[str]:
    return {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}


async def _read_start_failures(ports: Ports, bodies: Iterable[Body]) -> dict[str, str | None]:
    found = {}
    for body in bodies:
        uid = body["metadata"]["uid"]
        found[uid] = find_start_failure(await ports.cluster.read_pod_events(body["metadata"]["namespace"], uid))
    return found
