"""What is kept of an object from one turn to the next, for as long as it is the same object."""

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from voicefleet.api import Resource
from voicefleet.api.metadata import ObjectMeta
from voicefleet_operator.apiserver.kube import Body
from voicefleet_operator.handlers.parsing import Refused, parse_resource
from voicefleet_operator.turns.memory import Kept
from voicefleet_operator.turns.workqueue import Key


class Memory(Protocol):
    """What is remembered of one object."""

    uid: str
    parsed: Kept[object]


MemoryT = TypeVar("MemoryT", bound=Memory)
ResourceT = TypeVar("ResourceT", bound=Resource)


def memory_of(memories: dict[Key, MemoryT], begin: Callable[[str], MemoryT], key: Key, body: Body) -> MemoryT:
    """Return what is remembered of an object; a new one of the same name begins with nothing."""
    uid = body["metadata"]["uid"]
    memory = memories.get(key)
    if memory is None or memory.uid != uid:
        memory = memories[key] = begin(uid)
    return memory


def parse_once(kind: type[ResourceT], memory: Memory, body: Body) -> ResourceT | Refused:
    """Return an object as its model; its spec is read once for each generation, its metadata always."""
    version = body["metadata"].get("generation")
    if version is None or memory.parsed.version != version:
        memory.parsed.version, memory.parsed.value = version, parse_resource(kind, body)
    resource = memory.parsed.value
    if not isinstance(resource, kind):
        return cast("Refused", resource)
    return resource.model_copy(update={"metadata": ObjectMeta.model_validate(body["metadata"])})
