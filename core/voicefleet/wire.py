"""What processes of voicefleet say to each other.

Readers ignore fields that they don't know: a rolling upgrade keeps two versions alive.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class WireModel(BaseModel):
    """A message, frozen, in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, populate_by_name=True)


class Session(WireModel):
    """One call on a worker; its age is all that the operator may know of it."""

    id: Annotated[str, Field(max_length=64)]
    age_seconds: Annotated[float, Field(ge=0)]


class WorkerState(WireModel):
    """One line of a worker's state stream: sent on every change, and as a heartbeat."""

    sequence: Annotated[int, Field(ge=0)]
    revision: Annotated[str, Field(max_length=63)]
    pod_uid: Annotated[str, Field(max_length=64)] = ""
    """Whose state it is, if the worker knows; addresses are given to other pods."""
    slots: Annotated[int, Field(ge=0, le=200)]
    sessions: Annotated[tuple[Session, ...], Field(max_length=200)] = ()
    registered: bool = False
    cordoned: bool = False
    draining: bool = False
    reported_load: float = 0.0
