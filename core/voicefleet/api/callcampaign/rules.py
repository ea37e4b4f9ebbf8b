"""When a person may be called at all: purpose, consent, window, do-not-call, frequency. In doubt, never."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, Rule, exactly_one_of, ordered
from voicefleet.api.markers import Between, ListMap, ListSet
from voicefleet.api.references import ConfigMapKeyRef, SecretKeyRef
from voicefleet.api.schedule import CalendarDay, Hours
from voicefleet.api.types import CountryCode, Days, Fraction, HttpUrl, Items, Label, Seconds, ShortText, Text


class Consent(ApiModel):
    """What a contact must have agreed to."""

    required: Literal["None", "Oral", "Written"] = "Written"
    """Weakest consent that is enough."""
    max_age_days: Days | None = None
    """Age at which consent no longer counts."""
    source: ShortText | None = None
    """Where consent was taken, for the record."""


class Window(ApiModel):
    """When contacts are called, in their own time zone."""

    hours: Annotated[Items[Hours], Field(min_length=1, max_length=32)] = (
        Hours(days=("Mon", "Tue", "Wed", "Thu", "Fri"), start="09:00", end="20:00"),
    )
    """Weekly hours; the law's own hours always apply as well."""
    holidays: Annotated[Items[CalendarDay], Field(max_length=366), ListSet()] = ()
    """Days on which nobody is called."""
    close_margin_seconds: Annotated[int, Field(ge=0, le=3600)] = 120
    """Time before the end at which no new call is begun."""


class DoNotCallList(ApiModel):
    """A list of numbers that are never called."""

    RULES: ClassVar = (exactly_one_of("config_map", "secret", "http"),)

    name: Label
    """Name of the list, for the record."""
    config_map: ConfigMapKeyRef | None = None
    """A file in a ConfigMap with one number a line."""
    secret: SecretKeyRef | None = None
    """A file in a Secret with one number a line."""
    http: HttpUrl | None = None
    """A service that is asked about a number."""
    max_age_days: Days = 31
    """Age at which the list no longer counts as fresh, and nobody is called."""


class DoNotCall(ApiModel):
    """Who is never called."""

    lists: Annotated[Items[DoNotCallList], Field(max_length=16), ListMap("name")] = ()
    """Lists besides the organisation's own, which always applies."""
    honour_opt_out_digits: Annotated[str, Field(max_length=1, pattern=r"^[0-9*#]?$")] = "9"
    """Key with which a callee opts out; empty for none."""
    opt_out_phrases: Annotated[Items[ShortText], Field(max_length=64)] = ()
    """Words besides the usual ones with which a callee opts out."""


class Frequency(ApiModel):
    """How often a person is called, over all campaigns of the organisation."""

    RULES: ClassVar = (ordered("max_per_day", "max_per_week", message="maxPerDay must not be above maxPerWeek"),)

    max_per_day: Annotated[int, Field(ge=1, le=10)] = 3
    """Calls within any 24 hours."""
    max_per_week: Annotated[int, Field(ge=1, le=50)] = 7
    """Calls within any 7 days."""
    quiet_days_after_conversation: Annotated[int, Field(ge=0, le=365)] = 0
    """Days without a call after a conversation."""
    min_gap_seconds: Seconds = 3600
    """Least time between two calls to the same person."""


class Abandonment(ApiModel):
    """Answered calls without anybody to speak, which must hardly ever happen."""

    warn_fraction: Fraction = 0.01
    """Share of answered calls at which a condition warns."""
    pause_fraction: Annotated[float, Between(0, 0.03)] = 0.02
    """Share of answered calls at which the campaign stops by itself."""


class Compliance(ApiModel):
    """When a person may be called at all."""

    RULES: ClassVar = (
        Rule(
            cel="self.purpose != 'Telemarketing' || self.consent.required == 'Written' || self.acceptLegalRisk",
            check=lambda c: c.purpose != "Telemarketing" or c.consent.required == "Written" or c.accept_legal_risk,
            message="purpose Telemarketing needs consent.required: Written, or acceptLegalRisk: true",
        ),
    )

    purpose: Literal["Telemarketing", "Informational", "Debt", "Emergency"] = "Telemarketing"
    """Why people are called; it picks the rules."""
    consent: Consent = Consent()
    """What a contact must have agreed to."""
    window: Window = Window()
    """When contacts are called."""
    do_not_call: DoNotCall = DoNotCall()
    """Who is never called."""
    frequency: Frequency = Frequency()
    """How often a person is called."""
    abandonment: Abandonment = Abandonment()
    """Answered calls without anybody to speak."""
    blocked_states: Annotated[
        Items[Annotated[str, Field(max_length=6, pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]],
        Field(max_length=64),
        ListSet(),
    ] = ()
    """Countries or states that are left out, such as US-CA."""
    allowed_countries: Annotated[Items[CountryCode], Field(max_length=250), ListSet()] = ()
    """Countries that may be called; absent means those of the trunk."""
    disclosure: Text | None = None
    """Words with which the call begins; absent means who calls, that it is an AI, and how to opt out."""
    callback_number: Annotated[str, Field(max_length=16, pattern=r"^\+[1-9][0-9]{6,14}$")] | None = None
    """Number that is left on voicemail."""
    record_retention_days: Annotated[int, Field(ge=1, le=3650)] = 1825
    """How long the record of every decision is kept."""
    accept_legal_risk: bool = False
    """Whether rules that depend on legal advice may be relaxed; it is recorded with every call."""
