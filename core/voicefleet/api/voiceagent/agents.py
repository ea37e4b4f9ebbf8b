"""Who speaks: the named agents of one spec, what they know, and how one hands over to another."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, Rule, at_most_one_of, exactly_one_of, required_when
from voicefleet.api.markers import Between, ListMap, ListSet
from voicefleet.api.references import ConfigMapKeyRef, SecretKeyRef, no_secret_values
from voicefleet.api.types import (
    HttpUrl,
    Identifier,
    Items,
    JsonObject,
    Label,
    Language,
    Milliseconds,
    ObjectName,
    Prompt,
    ShortText,
    Text,
)
from voicefleet.api.voiceagent.voice import Voice


class Greeting(ApiModel):
    """The first thing that is said."""

    RULES: ClassVar = (at_most_one_of("text", "instructions"),)

    text: Text | None = None
    """Words that are spoken as they are."""
    instructions: Text | None = None
    """What the model should say, in its own words."""
    wait_for_caller: bool = False
    """Whether the caller speaks first."""
    interruptible: bool = True
    """Whether the caller may speak over it."""


class Handoff(ApiModel):
    """Another agent that may take over, and what it may see of the conversation so far."""

    agent: Label
    """Name of the agent that takes over."""
    when: Text
    """When to hand over, in words for the model."""
    context: Literal["None", "Summary", "Full"] = "Summary"
    """What the next agent sees of the conversation so far."""
    announcement: Text | None = None
    """What is said to the caller before the other agent speaks."""
    variables: Annotated[Items[Identifier], Field(max_length=64), ListSet()] = ()
    """Variables that the next agent may see; absent means none that are private to an agent."""


class StructuredOutput(ApiModel):
    """Fields that the model adds to what it says, such as emotion or style, for the voice to follow."""

    parameters: JsonObject
    """JSON schema of the added fields."""
    speech_field: Identifier = "text"
    """Field that is spoken."""
    emotion_field: Identifier | None = None
    """Field that steers the emotion of the voice."""
    style_field: Identifier | None = None
    """Field that steers the style of the voice."""


class NamedAgent(ApiModel):
    """One agent: what it is told, what it may use, and to whom it hands over."""

    RULES: ClassVar = (
        exactly_one_of("instructions", "instructions_from"),
        Rule(
            cel="!has(self.handoffs) || !self.handoffs.exists(h, h.agent == self.name)",
            check=lambda agent: all(handoff.agent != agent.name for handoff in agent.handoffs),
            message="an agent cannot hand over to itself: name another agent in handoffs",
        ),
    )

    name: Label
    """Name of the agent inside this spec."""
    description: Text | None = None
    """What it is for, in words for the other agents' models."""
    instructions: Prompt | None = None
    """What the agent is told; per-call variables stand in double braces."""
    instructions_from: ConfigMapKeyRef | None = None
    """Where to read the instructions from instead."""
    greeting: Greeting | None = None
    """The first thing that it says."""
    language: Language | None = None
    """Language that it speaks; absent means the spec's first."""
    voice: Voice | None = None
    """Models that it uses in place of the spec's."""
    tools: Annotated[Items[Identifier], Field(max_length=64), ListSet()] = ()
    """Tools of this spec that it may call."""
    knowledge: Annotated[Items[Label], Field(max_length=16), ListSet()] = ()
    """Knowledge sources of this spec that it may look into."""
    handoffs: Annotated[Items[Handoff], Field(max_length=16), ListMap("agent")] = ()
    """Agents that may take over from it."""
    private_variables: Annotated[Items[Identifier], Field(max_length=64), ListSet()] = ()
    """Variables that no other agent sees unless a handoff names them."""
    structured_output: StructuredOutput | None = None
    """Fields that the model adds to what it says."""


class Variable(ApiModel):
    """A value that differs from call to call and fills the double braces of a prompt."""

    name: Identifier
    """Name of the variable."""
    description: Text | None = None
    """What it means."""
    default: Text | None = None
    """Value when a call brings none; without one a call that lacks it is refused."""
    personal: bool = False
    """Whether it is personal data, which the bill's account leaves out; no log holds the value of any variable."""


class Lookup(ApiModel):
    """One request at the start of a call that fills variables."""

    RULES: ClassVar = (no_secret_values("headers"),)

    url: HttpUrl
    """Address that is asked; variables stand in double braces."""
    timeout_milliseconds: Annotated[int, Field(ge=50, le=10_000)] = 1000
    """Time after which the defaults are used."""
    headers: Annotated[dict[str, ShortText], Field(max_length=16)] | None = None
    """Plain headers of the request."""
    auth: SecretKeyRef | None = None
    """Secret that is sent as bearer token."""
    response_schema: JsonObject | None = None
    """JSON schema that the answer must meet; otherwise the defaults are used."""


class Variables(ApiModel):
    """Values that differ from call to call."""

    declared: Annotated[Items[Variable], Field(max_length=64), ListMap("name")] = ()
    """The variables that prompts may use."""
    lookup: Lookup | None = None
    """One request at the start of a call that fills them."""


class VolumeSource(ApiModel):
    """Files on a volume."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9._/-]+$")] = "."
    """Path inside the volume."""


class SearchSource(ApiModel):
    """A search service that answers questions with passages."""

    url: HttpUrl
    """Address of the service, which is sent a JSON object with the query."""
    auth: SecretKeyRef | None = None
    """Secret that is sent as bearer token."""
    timeout_milliseconds: Milliseconds = 1500
    """Time after which the agent answers without it."""


class Knowledge(ApiModel):
    """One source that agents may look into."""

    RULES: ClassVar = (exactly_one_of("text", "config_map", "volume", "search"),)

    name: Label
    """Name of the source."""
    description: Text
    """What it knows, in words for the model."""
    text: Prompt | None = None
    """The knowledge itself, if it is short."""
    config_map: ConfigMapKeyRef | None = None
    """A text in a ConfigMap."""
    volume: VolumeSource | None = None
    """Files on a volume."""
    search: SearchSource | None = None
    """A search service."""
    mode: Literal["Prompt", "Tool"] = "Tool"
    """Whether it is always part of the prompt or looked into when needed."""
    max_passages: Annotated[int, Field(ge=1, le=50)] = 5
    """Passages that one look-up returns."""


class SessionMemory(ApiModel):
    """What is remembered within a call."""

    max_turns: Annotated[int, Field(ge=2, le=1000)] = 100
    """Turns that the model sees; older ones are summarised."""
    summarise: bool = True
    """Whether older turns are kept as a summary."""


class CallerMemory(ApiModel):
    """What is remembered of a caller between calls."""

    RULES: ClassVar = (
        required_when(
            "key",
            "Variable",
            "variable",
            message="key Variable needs variable: name what a caller is known by",
        ),
    )

    enabled: bool = False
    """Whether anything is remembered between calls."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """How long it is remembered."""
    key: Literal["PhoneNumber", "Variable"] = "PhoneNumber"
    """What a returning caller is known by; numbers are stored as keyed hashes."""
    variable: Identifier | None = None
    """Variable that a caller is known by, when key is Variable."""
    max_facts: Annotated[int, Field(ge=1, le=200)] = 20
    """Facts that are kept for one caller."""


class Memory(ApiModel):
    """What agents remember."""

    session: SessionMemory = SessionMemory()
    """Within a call."""
    caller: CallerMemory = CallerMemory()
    """Between calls of the same caller."""


class Intent(ApiModel):
    """Something callers want, and the agent that serves it."""

    name: Label
    """Name of the intent."""
    description: Text
    """What the caller wants, in words for the model."""
    examples: Annotated[Items[ShortText], Field(max_length=32)] = ()
    """What callers say who want it."""
    agent: Label
    """Agent that serves it."""


class IntentRouting(ApiModel):
    """Sending a caller to the right agent by what the first words ask for."""

    intents: Annotated[Items[Intent], Field(min_length=1, max_length=64), ListMap("name")]
    """What callers may want."""
    fallback_agent: Label | None = None
    """Agent for everything else; absent means the first agent."""
    min_confidence: Annotated[float, Between(0, 1)] = 0.6
    """Below this the fallback agent asks."""
