"""Our own copy of the cluster's objects, by uid.

Watches lose deletions over a re-list, so now and then a list is compared with what is here. Versions are compared
as the numbers that they are, so that a list that was under way never undoes what a watch told meanwhile.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from voicefleet.fleet import Pod
from voicefleet.names import LABEL_AGENT
from voicefleet_operator.apiserver.kube import PODS, PROVIDER_POOLS, VOICE_AGENTS, Body, ResourceType
from voicefleet_operator.turns.workqueue import Key

CACHED = (VOICE_AGENTS, PROVIDER_POOLS, PODS)
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """An object that came, changed or went."""

    resource: ResourceType
    body: Body
    gone: bool = False
    before: Body | None = None
    """The object as it was here, if it was."""

    @property
    def is_report(self) -> bool:
        """Tell whether what is wanted of it is as before: somebody said how it is, or who holds it back."""
        return not self.gone and self.before is not None and _generation(self.before) == _generation(self.body)


class Kept(dict[str, Any]):
    """An object as it is kept here: replaced and never changed, so that what was read from it once stays right."""

    __slots__ = ("reading",)
    reading: Pod


class Store:
    """The objects of one kind."""

    def __init__(self, resource: ResourceType) -> None:
        self.resource = resource
        self._by_uid: dict[str, Body] = {}
        self._by_name: dict[Name, str] = {}
        self._by_agent: defaultdict[Name, set[str]] = defaultdict(set)
        self._by_pool: defaultdict[Name, set[str]] = defaultdict(set)
        self._deleted_at: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[Body]:
        return iter(list(self._by_uid.values()))

    def get(self, namespace: str, name: str) -> Body | None:
        """Return an object by name."""
        return self._by_uid.get(self._by_name.get((namespace, name), ""))

    def of_agent(self, namespace: str, agent: str) -> list[Body]:
        """Return the objects that carry an agent's label."""
        return [self._by_uid[uid] for uid in sorted(self._by_agent.get((namespace, agent), ()))]

    def of_pool(self, namespace: str, pool: str) -> list[Body]:
        """Return the agents that refer to a pool."""
        return [self._by_uid[uid] for uid in sorted(self._by_pool.get((namespace, pool), ()))]

    def put(self, body: Body) -> Change | None:
        """Take in an object, unless it is older than what is here."""
        uid, known = body["metadata"]["uid"], self._by_uid.get(body["metadata"]["uid"])
        # A pod that is given its labels back was only gone from our sight.
        if _version(body) <= self._deleted_at.get(uid, -1) or (known and _version(body) <= _version(known)):
            return None
        if known is not None:
            self._forget(known)
        body = Kept(_shared(_trimmed(body), known or self._sibling(body)))
        self._by_uid[uid] = body
        self._by_name[_name(body)] = uid
        if self.resource is PODS:
            self._by_agent[_agent(body)].add(uid)
        elif self.resource is VOICE_AGENTS:
            self._by_pool[pool_of(body)].add(uid)
        return Change(self.resource, body, before=known)

    def drop(self, body: Body) -> Change | None:
        """Take out an object that is gone."""
        self._deleted_at[body["metadata"]["uid"]] = _version(body)
        known = self._by_uid.get(body["metadata"]["uid"])
        if known is None:
            return None
        self._forget(known)
        return Change(self.resource, known, gone=True)

    def drop_missing(self, listed: Collection[str], *, version: int, namespace: str | None) -> list[Change]:
        """Take out what is older than a whole list of one moment, by the uids of what it held, and missing from it."""
        missing = [
            known
            for uid, known in self._by_uid.items()
            if uid not in listed and _version(known) <= version and namespace in (None, _name(known)[0])
        ]
        changes = [self.drop(known) for known in missing]
        # No list or watch of ours goes further back than this one.
        self._deleted_at = {uid: at for uid, at in self._deleted_at.items() if at > version}
        return [change for change in changes if change is not None]

    def _forget(self, known: Body) -> None:
        uid = known["metadata"]["uid"]
        del self._by_uid[uid]
        if self._by_name.get(_name(known)) == uid:
            del self._by_name[_name(known)]
        if self.resource is PODS:
            _discard(self._by_agent, _agent(known), uid)
        elif self.resource is VOICE_AGENTS:
            _discard(self._by_pool, pool_of(known), uid)

    def _sibling(self, body: Body) -> Body | None:
        """Return another pod of the same agent, which is most likely its twin."""
        siblings = self._by_agent.get(_agent(body)) if self.resource is PODS else None
        return self._by_uid[next(iter(siblings))] if siblings else None


class Cache:
    """The stores of all kinds that are watched, and who cares about a change."""

    def __init__(self) -> None:
        self.agents = Store(VOICE_AGENTS)
        self.pools = Store(PROVIDER_POOLS)
        self.pods = Store(PODS)
        self._stores = {store.resource.plural: store for store in (self.agents, self.pools, self.pods)}

    def store(self, resource: ResourceType) -> Store:
        """Return the store of one kind."""
        return self._stores[resource.plural]

    def observe(self, resource: ResourceType, body: Body, *, gone: bool = False) -> list[Key]:
        """Take in one event and return the keys that it concerns."""
        store = self.store(resource)
        change = store.drop(body) if gone else store.put(body)
        return self.concerned(change) if change else []

    def concerned(self, change: Change) -> list[Key]:
        """Return the keys that a change concerns: an object itself, and those that depend on it."""
        namespace, name = _name(change.body)
        if change.resource is PODS:
            return [agent_of(change.body)]
        if change.resource is VOICE_AGENTS:
            # The pool that it has left has one user less.
            pools = dict.fromkeys(pool_of(body) for body in (change.body, change.before) if body is not None)
            return [Key("VoiceAgent", namespace, name), *(Key("ProviderPool", *pool) for pool in pools)]
        # How a pool is changes all the time, and none of its thousand agents decides by that.
        users = [] if change.is_report else self.users_of(namespace, name)
        return [Key("ProviderPool", namespace, name), *(Key("VoiceAgent", *_name(agent)) for agent in users)]

    def users_of(self, namespace: str, pool: str) -> list[Body]:
        """Return the agents that refer to a pool."""
        return self.agents.of_pool(namespace, pool)


def agent_of(pod: Body) -> Key:
    """Return the agent whose label a pod carries, whether or not it exists."""
    return Key("VoiceAgent", *_agent(pod))


def pool_of(agent: Body) -> Name:
    """Return the pool that an agent refers to, whether or not it exists."""
    ref = agent["spec"].get("providerPoolRef", {})
    return (ref.get("namespace") or agent["metadata"]["namespace"], ref.get("name", ""))


def _name(body: Body) -> Name:
    return (body["metadata"]["namespace"], body["metadata"]["name"])


def _agent(body: Body) -> Name:
    return (body["metadata"]["namespace"], body["metadata"].get("labels", {}).get(LABEL_AGENT, ""))


def _version(body: Body) -> int:
    return int(body["metadata"]["resourceVersion"])


def _generation(body: Body) -> object:
    """Return what tells one spec from another: the server counts them, and where it does not the spec itself."""
    return body["metadata"].get("generation") or body.get("spec")


def _trimmed(body: Body) -> Body:
    """Leave out who wrote which field: half of a pod, and nothing that we ask for."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}


def _shared(body: Body, twin: Body | None) -> Body:
    """Let a body hold what it has in common with its twin as the very same objects.

    Ten thousand pods are mostly a thousand specs ten times over, and then differ in a name and a node.
    """
    if twin is None:
        return body
    shared: Body = {part: _pick(body[part], twin.get(part)) for part in ("metadata", "spec", "status") if part in body}
    return body | shared


def _pick(part: Body, twin: Body | None) -> Body:
    if not twin:
        return part
    return {key: twin[key] if key in twin and twin[key] == value else value for key, value in part.items()}


def _discard(index: defaultdict[Name, set[str]], name: Name, uid: str) -> None:
    index[name].discard(uid)
    if not index[name]:
        del index[name]
