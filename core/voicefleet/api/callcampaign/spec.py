"""CallCampaign: whom an agent calls, when it may, how fast, and what is kept of it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, Rule, immutable
from voicefleet.api.callcampaign.contacts import Contacts
from voicefleet.api.callcampaign.dialing import CallerIds, Experiment, MachineDetection, Pacing, Retries
from voicefleet.api.callcampaign.rules import Compliance
from voicefleet.api.callcampaign.status import CallCampaignStatus
from voicefleet.api.markers import Between, ListSet
from voicefleet.api.references import LocalRef
from voicefleet.api.resource import Column, KindInfo, Resource, plain_name
from voicefleet.api.types import Items, Label, Price, ShortText, Timestamp
from voicefleet.api.voiceagent.records import Store, WebhookSink


class CampaignBudget(ApiModel):
    """What the campaign may cost; it stops dialing, never a call."""

    max_cost: Price
    """Cost at which no more calls are begun, in the pool's currency."""
    max_cost_per_day: Price | None = None
    """Cost at which no more calls are begun until the next day."""


class Results(ApiModel):
    """What becomes of the results."""

    format: Literal["Csv", "JsonLines"] = "JsonLines"
    """Form of the export."""
    store: Store | None = None
    """Where the export is written."""
    webhook: WebhookSink | None = None
    """An address that is told of every attempt."""
    fields: Annotated[Items[ShortText], Field(max_length=64), ListSet()] = ()
    """Fields of the export; absent means all."""
    every_seconds: Annotated[int, Field(ge=60, le=86_400)] = 900
    """Time between two exports while the campaign runs."""


class CallCampaignSpec(ApiModel):
    """Whom an agent calls, when it may, and how fast."""

    RULES: ClassVar = (
        Rule(
            cel="!has(self.startAt) || !has(self.endAt) || self.startAt < self.endAt",
            check=lambda spec: spec.start_at is None or spec.end_at is None or spec.start_at < spec.end_at,
            message="startAt must be before endAt",
        ),
    )
    TRANSITIONS: ClassVar = (
        immutable("agent_ref", message="agentRef cannot be changed: create another campaign for another agent"),
        immutable("contacts", message="contacts cannot be changed: create another campaign for another list"),
    )

    agent_ref: LocalRef
    """The VoiceAgent that speaks."""
    contacts: Contacts
    """Whom it calls."""
    trunk: Label
    """Trunk of the agent's pool that calls go over."""
    caller_ids: CallerIds
    """Numbers that callees see."""
    compliance: Compliance = Compliance()
    """When a person may be called at all."""
    pacing: Pacing = Pacing()
    """How fast calls are begun."""
    retries: Retries = Retries()
    """When a contact is tried again."""
    machine_detection: MachineDetection = MachineDetection()
    """Telling people from machines."""
    experiment: Experiment | None = None
    """Variants under test."""
    start_at: Timestamp | None = None
    """When the campaign begins; absent means at once."""
    end_at: Timestamp | None = None
    """When the campaign ends, finished or not."""
    suspend: bool = False
    """Whether no new calls are begun; running ones go on."""
    on_end: Literal["Drain", "HangUpRinging"] = "Drain"
    """What happens to calls under way when the campaign ends."""
    dry_run: bool = False
    """Whether everything is decided and recorded but nobody is called."""
    budget: CampaignBudget | None = None
    """What the campaign may cost."""
    results: Results = Results()
    """What becomes of the results."""
    expected_answer_fraction: Annotated[float, Between(0, 1)] = 0.25
    """Share of calls that are answered, until enough were made to know."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Time after its end at which the campaign deletes itself; its records stay."""


class CallCampaign(Resource):
    """A list of people that an agent calls, and the rules under which it may."""

    INFO: ClassVar = KindInfo(
        plural="callcampaigns",
        short_name="cc",
        columns=(
            Column("State", ".status.state", "How far it is."),
            Column("Progress", ".status.progress", "Contacts with a final result, of all."),
            Column("Dialing", ".status.contacts.dialing", "Being called right now.", "integer"),
            Column("Talking", ".status.contacts.talking", "In conversation right now.", "integer"),
            Column("Limit", ".status.limit", "What holds the pace."),
            Column("Status", ".status.summary", "State in one line."),
            Column("Age", ".metadata.creationTimestamp", "When it was created.", "date"),
            Column("Agent", ".spec.agentRef.name", "The VoiceAgent that speaks.", wide=True),
            Column("Purpose", ".spec.compliance.purpose", "Why people are called.", wide=True),
            Column("Next", ".status.nextWindowAt", "When calling next begins.", "date", wide=True),
            Column(
                "Reason",
                '.status.conditions[?(@.type=="Ready")].reason',
                "Why it is ready or not.",
                wide=True,
            ),
        ),
        selectable=(".spec.agentRef.name", ".spec.suspend"),
    )
    RULES: ClassVar = (plain_name(40, because="names of attempts begin with it"),)

    api_version: Literal["voicefleet.dev/v1alpha1"] = "voicefleet.dev/v1alpha1"
    """Version of this schema."""
    kind: Literal["CallCampaign"] = "CallCampaign"
    """CallCampaign."""
    spec: CallCampaignSpec
    """What is wanted."""
    status: CallCampaignStatus | None = None
    """What is."""
