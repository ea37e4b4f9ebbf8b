"""What is kept of a call: recording, transcript, analysis, the bill, and what must not be kept."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, exactly_one_of
from voicefleet.api.markers import ListSet
from voicefleet.api.references import SecretKeyRef
from voicefleet.api.types import (
    Days,
    HttpUrl,
    Identifier,
    Items,
    JsonObject,
    Label,
    ObjectName,
    Percent,
    Prompt,
    ShortText,
    Text,
)


class ObjectStore(ApiModel):
    """A bucket."""

    provider: Literal["S3", "GCS"] = "S3"
    """Protocol of the store."""
    bucket: Annotated[str, StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")]
    """Name of the bucket."""
    prefix: Annotated[str, StringConstraints(max_length=512, pattern=r"^[A-Za-z0-9!_.*()/={}-]*$")] = ""
    """Beginning of the names of objects; date, agent and call stand in double braces."""
    endpoint: HttpUrl | None = None
    """Address of a store that is not the provider's own."""
    region: ShortText | None = None
    """Region of the bucket."""
    credentials: SecretKeyRef | None = None
    """Secret with the credentials file; absent uses the pod's identity."""


class Store(ApiModel):
    """Where files are kept."""

    RULES: ClassVar = (exactly_one_of("object_store", "claim_name"),)

    object_store: ObjectStore | None = None
    """A bucket."""
    claim_name: ObjectName | None = None
    """A PersistentVolumeClaim."""


class Recording(ApiModel):
    """The sound of a call."""

    enabled: bool = False
    """Whether calls are recorded."""
    store: Store | None = None
    """Where recordings are kept; absent means the worker's local disk, from which you must fetch them."""
    sample_percent: Percent = 100
    """Share of calls that are recorded."""
    announce: Text | None = None
    """What is said before recording begins."""
    require_consent: bool = False
    """Whether recording waits until the caller agrees."""
    pausable: bool = True
    """Whether tools may pause it, such as while a card number is read out."""
    retention_days: Days | None = None
    """How long recordings are kept; absent leaves it to the store."""


class Transcript(ApiModel):
    """The words of a call."""

    enabled: bool = True
    """Whether transcripts are kept with the call record."""
    store: Store | None = None
    """Where transcripts are kept besides the record."""
    include_tool_calls: bool = True
    """Whether tool calls and their results are part of it."""
    retention_days: Days | None = None
    """How long transcripts are kept; absent leaves it to the store."""


class Analysis(ApiModel):
    """Questions that a model answers about a finished call."""

    enabled: bool = True
    """Whether finished calls are analysed."""
    instructions: Prompt | None = None
    """What to look for, in words for the model."""
    result_schema: JsonObject
    """JSON schema of the result."""
    providers: Annotated[Items[Label], Field(max_length=8), ListSet()] = ()
    """Language models of the pool that do it; absent leaves it to the pool's routing."""
    success_field: Identifier | None = None
    """Boolean field of the result that says whether the call reached its aim."""
    min_call_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    """Shortest call that is analysed."""


class Redaction(ApiModel):
    """What is blacked out before anything is kept."""

    enabled: bool = False
    """Whether transcripts and records are redacted."""
    kinds: Annotated[
        Items[
            Literal[
                "CardNumber",
                "Cvv",
                "BankAccount",
                "NationalId",
                "Email",
                "PhoneNumber",
                "Name",
                "Address",
                "BirthDate",
                "Dtmf",
            ]
        ],
        Field(max_length=10),
        ListSet(),
    ] = ("CardNumber", "Cvv", "BankAccount", "NationalId", "Dtmf")
    """Kinds of data that are blacked out."""
    patterns: Annotated[
        Items[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(max_length=32)
    ] = ()
    """Further regular expressions whose matches are blacked out."""
    redact_audio: bool = False
    """Whether the recording is silenced at the same places."""


class DataProtection(ApiModel):
    """What must not be kept, and for whom."""

    redaction: Redaction = Redaction()
    """What is blacked out before anything is kept."""
    log_personal_data: bool = False
    """Whether logs may hold numbers, names and words of callers."""
    trace_content: bool = False
    """Whether spans may hold prompts and words of callers."""
    retention_days: Days | None = None
    """How long call records are kept; absent leaves it to the sink."""
    region: ShortText | None = None
    """Region that providers must name as theirs to be asked; stores, tools and workers are where you put them."""


class WebhookSink(ApiModel):
    """An address that is told of every call."""

    url: HttpUrl
    """Address that call records are posted to."""
    signing_secret: SecretKeyRef
    """Secret that signs each request."""
    timeout_milliseconds: Annotated[int, Field(ge=100, le=60_000)] = 5000
    """Time after which a request counts as failed and is made again."""


class RedisSink(ApiModel):
    """A stream in the pool's Redis."""

    stream: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9:._{}-]+$")] = (
        "voicefleet:records"
    )
    """Name of the stream."""
    max_length: Annotated[int, Field(ge=1000, le=100_000_000)] = 1_000_000
    """Entries that the stream keeps."""


class Billing(ApiModel):
    """Where usage and cost of every call are reported for the bill."""

    RULES: ClassVar = (exactly_one_of("webhook", "redis", "store"),)

    webhook: WebhookSink | None = None
    """An address that is told of every call."""
    redis: RedisSink | None = None
    """A stream in the pool's Redis."""
    store: Store | None = None
    """Files with one line a call."""
    account: ShortText | None = None
    """Account that calls are billed to; variables stand in double braces."""
    tags: Annotated[dict[str, ShortText], Field(max_length=16)] | None = None
    """What else is written on each line of the bill."""
