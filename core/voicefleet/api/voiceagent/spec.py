"""VoiceAgent: what an agent says and can do, and how the fleet that speaks for it is run."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, Rule
from voicefleet.api.markers import ListMap, ListSet
from voicefleet.api.references import PoolRef
from voicefleet.api.resource import Column, KindInfo, Resource, ScalePaths, plain_name
from voicefleet.api.types import Items, Label, Language, WorkerCount
from voicefleet.api.voiceagent.agents import IntentRouting, Knowledge, Memory, NamedAgent, Variables
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.records import Analysis, Billing, DataProtection, Recording, Transcript
from voicefleet.api.voiceagent.rollout import Rollout
from voicefleet.api.voiceagent.scaling import Scaling
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.api.voiceagent.telephony import Telephony
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.api.voiceagent.voice import Voice
from voicefleet.api.voiceagent.worker import Worker


def _names(items: tuple[Tool | Knowledge | NamedAgent, ...]) -> set[str]:
    return {item.name for item in items}


def _handoffs_known(spec: "VoiceAgentSpec") -> bool:
    known = _names(spec.agents)
    return all(handoff.agent in known for agent in spec.agents for handoff in agent.handoffs)


def _keys_known(spec: "VoiceAgentSpec") -> bool:
    known = _names(spec.agents)
    return all(action.agent is None or action.agent in known for action in spec.telephony.dtmf.actions)


def _tools_known(spec: "VoiceAgentSpec") -> bool:
    known = _names(spec.tools)
    return all(tool in known for agent in spec.agents for tool in agent.tools)


def _knowledge_known(spec: "VoiceAgentSpec") -> bool:
    known = _names(spec.knowledge)
    return all(source in known for agent in spec.agents for source in agent.knowledge)


def _routing_known(spec: "VoiceAgentSpec") -> bool:
    if spec.routing is None:
        return True
    known = _names(spec.agents)
    fallback = spec.routing.fallback_agent
    return all(i.agent in known for i in spec.routing.intents) and (fallback is None or fallback in known)


class VoiceAgentSpec(ApiModel):
    """What the agent says and can do, and how its fleet is run."""

    RULES: ClassVar = (
        Rule(
            cel="!has(self.entryAgent) || self.agents.exists(a, a.name == self.entryAgent)",
            check=lambda spec: spec.entry_agent is None or spec.entry_agent in _names(spec.agents),
            message="entryAgent must be the name of one of the agents",
        ),
        Rule(
            cel="self.agents.all(a, !has(a.handoffs) || a.handoffs.all(h, self.agents.exists(b, b.name == h.agent)))",
            check=_handoffs_known,
            message="handoffs must name agents of this spec: add the agent to spec.agents or correct its name",
        ),
        Rule(
            cel="!has(self.telephony) || !has(self.telephony.dtmf) || !has(self.telephony.dtmf.actions) || "
            "self.telephony.dtmf.actions.all(k, !has(k.agent) || self.agents.exists(a, a.name == k.agent))",
            check=_keys_known,
            message="telephony.dtmf.actions must name agents of this spec: add the agent to spec.agents or correct it",
        ),
        Rule(
            cel="self.agents.all(a, !has(a.tools) || "
            "a.tools.all(t, has(self.tools) && self.tools.exists(x, x.name == t)))",
            check=_tools_known,
            message="agents must use tools of this spec: add the tool to spec.tools or correct its name",
        ),
        Rule(
            cel="self.agents.all(a, !has(a.knowledge) || "
            "a.knowledge.all(k, has(self.knowledge) && self.knowledge.exists(x, x.name == k)))",
            check=_knowledge_known,
            message="agents must use knowledge of this spec: add the source to spec.knowledge or correct its name",
        ),
        Rule(
            cel="!has(self.routing) || self.routing.intents.all(i, self.agents.exists(a, a.name == i.agent)) && "
            "(!has(self.routing.fallbackAgent) || self.agents.exists(a, a.name == self.routing.fallbackAgent))",
            check=_routing_known,
            message="routing must name agents of this spec: add the agent to spec.agents or correct its name",
        ),
        Rule(
            cel="!has(self.replicas) || self.scaling.mode == 'External'",
            check=lambda spec: spec.replicas is None or spec.scaling.mode == "External",
            message="replicas needs scaling.mode: External; otherwise set scaling.min and scaling.max",
        ),
    )

    provider_pool_ref: PoolRef
    """The ProviderPool that the agent draws on."""
    languages: Annotated[Items[Language], Field(min_length=1, max_length=32), ListSet()] = ("en",)
    """Languages that the agent speaks, the first by default."""
    agents: Annotated[Items[NamedAgent], Field(min_length=1, max_length=16), ListMap("name")]
    """Who speaks; one is enough."""
    entry_agent: Label | None = None
    """Agent that takes the call; absent means the first."""
    voice: Voice = Voice()
    """How agents hear, think and speak."""
    variables: Variables = Variables()
    """Values that differ from call to call."""
    tools: Annotated[Items[Tool], Field(max_length=64), ListMap("name")] = ()
    """What agents can do besides talking."""
    tool_policy: ToolPolicy = ToolPolicy()
    """Limits on all tools together."""
    knowledge: Annotated[Items[Knowledge], Field(max_length=16), ListMap("name")] = ()
    """Sources that agents may look into."""
    memory: Memory = Memory()
    """What agents remember."""
    routing: IntentRouting | None = None
    """Sending a caller to the right agent by what the first words ask for."""
    conversation: Conversation = Conversation()
    """How a call sounds."""
    telephony: Telephony = Telephony()
    """How calls come in and go out."""
    recording: Recording = Recording()
    """The sound of a call."""
    transcript: Transcript = Transcript()
    """The words of a call."""
    analysis: Analysis | None = None
    """Questions that a model answers about a finished call."""
    data_protection: DataProtection = DataProtection()
    """What must not be kept, and for whom."""
    billing: Billing | None = None
    """Where usage and cost of every call are reported."""
    worker: Worker = Worker()
    """The pods that hold the calls."""
    scaling: Scaling = Scaling()
    """How many workers there are."""
    replicas: WorkerCount | None = None
    """Workers that an HPA, KEDA or a person asks for when scaling.mode is External."""
    rollout: Rollout = Rollout()
    """How a changed template reaches the fleet."""
    deletion_policy: Literal["Drain", "Now"] = "Drain"
    """Whether deleting the VoiceAgent lets its calls finish first."""
    suspend: bool = False
    """Whether the agent takes no new calls; running ones go on."""


class VoiceAgent(Resource):
    """A voice agent and the fleet of workers that speaks for it."""

    INFO: ClassVar = KindInfo(
        plural="voiceagents",
        short_name="va",
        columns=(
            Column(
                "Ready",
                '.status.conditions[?(@.type=="Ready")].status',
                "Whether the agent takes calls as it should.",
            ),
            Column("Calls", ".status.calls", "Calls right now.", "integer"),
            Column("Free", ".status.freeSlots", "Calls that could begin at this moment.", "integer"),
            Column("Workers", ".status.replicas", "Workers that exist.", "integer"),
            Column("Status", ".status.summary", "State in one line."),
            Column("Age", ".metadata.creationTimestamp", "When it was created.", "date"),
            Column("Desired", ".status.scale.desired", "Workers that are wanted.", "integer", wide=True),
            Column("Limit", ".status.scale.limit", "What binds the number of workers.", wide=True),
            Column("Revision", ".status.revision", "Revision that new calls go to.", wide=True),
            Column("Pool", ".spec.providerPoolRef.name", "The ProviderPool that it draws on.", wide=True),
            Column(
                "Reason",
                '.status.conditions[?(@.type=="Ready")].reason',
                "Why it is ready or not.",
                wide=True,
            ),
        ),
        selectable=(".spec.providerPoolRef.name",),
        scale=ScalePaths(),
    )
    RULES: ClassVar = (plain_name(40, because="names of workers begin with it"),)

    api_version: Literal["voicefleet.dev/v1alpha1"] = "voicefleet.dev/v1alpha1"
    """Version of this schema."""
    kind: Literal["VoiceAgent"] = "VoiceAgent"
    """VoiceAgent."""
    spec: VoiceAgentSpec
    """What is wanted."""
    status: VoiceAgentStatus | None = None
    """What is."""
