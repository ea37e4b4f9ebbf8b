"""What agents can do besides talking: HTTP requests, MCP servers, and what the worker itself knows how to do."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, Rule, exactly_one_of, required_when
from voicefleet.api.markers import ListMap, ListSet
from voicefleet.api.references import SecretKeyRef, no_secret_values
from voicefleet.api.schedule import CalendarDay, Hours
from voicefleet.api.types import HttpUrl, Identifier, Items, JsonObject, PhoneNumber, ShortText, Text, TimeZone
from voicefleet.api.voiceagent.telephony import Transfer

HeaderName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
ResponsePath = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_.\[\]*$-]+$")]


class AuthHeader(ApiModel):
    """A header whose value is a secret."""

    name: HeaderName
    """Name of the header."""
    secret: SecretKeyRef
    """Where its value lives."""


class Auth(ApiModel):
    """How a request proves who it is from."""

    RULES: ClassVar = (exactly_one_of("bearer", "basic", "header"),)

    bearer: SecretKeyRef | None = None
    """Secret that is sent as bearer token."""
    basic: SecretKeyRef | None = None
    """Secret that holds user:password."""
    header: AuthHeader | None = None
    """Secret that is sent in a header of its own."""


class ResponseMapping(ApiModel):
    """One value taken from a tool's answer into a variable of the call."""

    variable: Identifier
    """Variable that is set."""
    path: ResponsePath
    """Where the value stands in the answer, such as $.order.status."""


class Retry(ApiModel):
    """When a request is made again; only for requests that may be made twice."""

    attempts: Annotated[int, Field(ge=1, le=5)] = 2
    """Attempts in all."""
    backoff_milliseconds: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Pause before the second attempt; it doubles."""


class HttpTool(ApiModel):
    """A request to a service of yours."""

    RULES: ClassVar = (
        no_secret_values("headers"),
        Rule(
            cel="!has(self.retry) || self.idempotent",
            check=lambda tool: tool.retry is None or tool.idempotent,
            message="retry needs idempotent: true; a request that may not be made twice is not retried",
        ),
        Rule(
            cel="!(self.method in ['GET', 'DELETE']) || !has(self.body)",
            check=lambda tool: tool.method not in ("GET", "DELETE") or tool.body is None,
            message="GET and DELETE carry no body: put arguments into the url, or use POST",
        ),
    )

    url: HttpUrl
    """Address; arguments and variables stand in double braces."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    """Method of the request."""
    headers: Annotated[dict[str, ShortText], Field(max_length=32)] | None = None
    """Plain headers; secrets go into auth."""
    query: Annotated[dict[str, ShortText], Field(max_length=32)] | None = None
    """Query parameters; arguments and variables stand in double braces."""
    body: Annotated[str, StringConstraints(max_length=16_384)] | None = None
    """Template of the body; absent sends the arguments as JSON."""
    auth: Auth | None = None
    """How the request proves who it is from."""
    timeout_milliseconds: Annotated[int, Field(ge=100, le=60_000)] = 5000
    """Time after which the tool counts as failed."""
    idempotent: bool = False
    """Whether the request may be made twice."""
    retry: Retry | None = None
    """When the request is made again."""
    max_response_bytes: Annotated[int, Field(ge=64, le=1_048_576)] = 65_536
    """Longest answer that is read."""
    response: Annotated[Items[ResponseMapping], Field(max_length=32), ListMap("variable")] = ()
    """Values taken from the answer into variables."""
    ca_certificate: SecretKeyRef | None = None
    """Certificate authority that the service is trusted by."""


class McpTool(ApiModel):
    """Tools of an MCP server."""

    RULES: ClassVar = (no_secret_values("headers"),)

    url: HttpUrl
    """Address of the server."""
    transport: Literal["StreamableHttp", "Sse"] = "StreamableHttp"
    """How the server is spoken to."""
    headers: Annotated[dict[str, ShortText], Field(max_length=32)] | None = None
    """Plain headers; secrets go into auth."""
    auth: Auth | None = None
    """How requests prove who they are from."""
    allowed_tools: Annotated[Items[Identifier], Field(max_length=64), ListSet()] = ()
    """Tools of the server that may be called; absent means all."""
    timeout_milliseconds: Annotated[int, Field(ge=100, le=60_000)] = 5000
    """Time after which a call counts as failed."""


class BusinessHours(ApiModel):
    """Opening hours that an agent can be asked about, and that tools can ask."""

    time_zone: TimeZone
    """Time zone of the hours."""
    hours: Annotated[Items[Hours], Field(min_length=1, max_length=32)]
    """When it is open."""
    holidays: Annotated[Items[CalendarDay], Field(max_length=366), ListSet()] = ()
    """Days on which it is closed all day."""


class Feedback(ApiModel):
    """A rating at the end of a call."""

    question: Text
    """What the caller is asked."""
    scale: Annotated[int, Field(ge=2, le=10)] = 5
    """Highest rating; the lowest is 1."""


class BuiltinTool(ApiModel):
    """Something that the worker itself knows how to do."""

    RULES: ClassVar = (
        required_when(
            "type",
            "BusinessHours",
            "business_hours",
            message="type BusinessHours needs businessHours: say when it is open",
        ),
        required_when(
            "type",
            "CollectFeedback",
            "feedback",
            message="type CollectFeedback needs feedback: say what the caller is asked",
        ),
        required_when(
            "type",
            "Transfer",
            "transfer",
            message="type Transfer needs transfer: say where callers are put through to",
        ),
    )

    type: Literal["EndCall", "Transfer", "SendDtmf", "BusinessHours", "CollectFeedback", "OptOut", "Callback"]
    """What it does."""
    transfer: Transfer | None = None
    """Where callers are put through to."""
    business_hours: BusinessHours | None = None
    """When it is open."""
    feedback: Feedback | None = None
    """What the caller is asked."""
    number: PhoneNumber | None = None
    """Number that a callback is made from."""


class Filler(ApiModel):
    """What is said while a tool takes its time."""

    after_milliseconds: Annotated[int, Field(ge=200, le=10_000)] = 1500
    """Silence after which it is said."""
    phrases: Annotated[Items[ShortText], Field(max_length=16)] = ()
    """What is said, one at random; absent means a short phrase in the agent's language."""


class Tool(ApiModel):
    """One thing that agents can do."""

    RULES: ClassVar = (exactly_one_of("http", "mcp", "builtin"),)

    name: Identifier
    """Name by which the model calls it."""
    description: Text
    """What it does and when to use it, in words for the model."""
    parameters: JsonObject | None = None
    """JSON schema of the arguments."""
    http: HttpTool | None = None
    """A request to a service of yours."""
    mcp: McpTool | None = None
    """Tools of an MCP server."""
    builtin: BuiltinTool | None = None
    """Something that the worker itself knows how to do."""
    filler: Filler = Filler()
    """What is said while it takes its time."""
    on_error: Annotated[str, StringConstraints(max_length=512)] | None = None
    """What the model is told when it fails; absent means a plain sentence."""
    interruptible: bool = True
    """Whether the caller may speak over what is said before it and while it runs, which calls its answer off."""


class ToolPolicy(ApiModel):
    """Limits on all tools together."""

    max_rounds: Annotated[int, Field(ge=1, le=10)] = 3
    """Rounds of tool calls in one turn, after which the agent answers without tools."""
    allowed_hosts: Annotated[
        Items[Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^(\*\.)?[A-Za-z0-9.-]+$")]],
        Field(max_length=64),
        ListSet(),
    ] = ()
    """Hosts that tools may reach; absent means those that tools name."""
