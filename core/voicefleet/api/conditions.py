"""Conditions as the Kubernetes API conventions and kstatus have them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel
from voicefleet.api.markers import ListMap
from voicefleet.api.types import Count, Items, Timestamp


class Condition(ApiModel):
    """One statement about a resource, and since when it holds."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z]*$")]
    """What is being said, in CamelCase, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """Why, as one word that programs can match."""
    message: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Why, and what a person should do, in words."""
    last_transition_time: Timestamp
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the spec that this was said about."""


Conditions = Annotated[Items[Condition], Field(max_length=32), ListMap("type")]


class CommonStatus(ApiModel):
    """What the status of every kind begins with."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the spec that this status describes."""
    conditions: Conditions = ()
    """Statements about this resource; Ready, Reconciling and Stalled come first."""


class Tally(ApiModel):
    """A count under a name."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """What is counted."""
    count: Count
    """How many there are."""
