"""Whom a campaign calls: where the rows come from, and what each column means."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, exactly_one_of
from voicefleet.api.markers import ListMap
from voicefleet.api.references import ConfigMapKeyRef, SecretKeyRef
from voicefleet.api.types import CountryCode, HttpUrl, Identifier, Items, ShortText
from voicefleet.api.voiceagent.agents import VolumeSource
from voicefleet.api.voiceagent.records import ObjectStore

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class HttpSource(ApiModel):
    """A file that is fetched."""

    url: HttpUrl
    """Address of the file."""
    auth: SecretKeyRef | None = None
    """Secret that is sent as bearer token."""


class ObjectSource(ObjectStore):
    """A file in a bucket."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """Name of the file."""


class VariableColumn(ApiModel):
    """A column that fills a variable of the agent."""

    variable: Identifier
    """Variable of the agent."""
    column: ColumnName
    """Column of the file."""


class Columns(ApiModel):
    """What each column of the file means."""

    phone: ColumnName = "phone"
    """Number to call."""
    id: ColumnName | None = None
    """Your own name for the contact; absent means the number."""
    time_zone: ColumnName | None = None
    """Time zone of the contact, which narrows the calling window."""
    postal_code: ColumnName | None = None
    """Postal code of the contact, which narrows the calling window."""
    state: ColumnName | None = None
    """State or province of the contact, whose rules apply as well."""
    consent_basis: ColumnName | None = None
    """What consent was given."""
    consent_at: ColumnName | None = None
    """When consent was given."""
    priority: ColumnName | None = None
    """Lower is called first."""
    language: ColumnName | None = None
    """Language of the contact."""
    variables: Annotated[Items[VariableColumn], Field(max_length=64), ListMap("variable")] = ()
    """Columns that fill variables of the agent."""


class Contacts(ApiModel):
    """Whom the campaign calls."""

    RULES: ClassVar = (exactly_one_of("config_map", "secret", "volume", "http", "object"),)

    config_map: ConfigMapKeyRef | None = None
    """A file in a ConfigMap."""
    secret: SecretKeyRef | None = None
    """A file in a Secret."""
    volume: VolumeSource | None = None
    """A file on a volume."""
    http: HttpSource | None = None
    """A file that is fetched."""
    object: ObjectSource | None = None
    """A file in a bucket."""
    format: Literal["Csv", "JsonLines"] = "Csv"
    """Form of the file."""
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r"^[,;|\t]$")] = ","
    """What separates columns of a CSV file."""
    columns: Columns = Columns()
    """What each column means."""
    default_region: CountryCode | None = None
    """Country of numbers that are not written in full."""
    duplicate_window_days: Annotated[int, Field(ge=0, le=365)] = 0
    """Days within which a number that another campaign reached is left out; 0 looks at this campaign alone."""
    trust_contact_time_zone: bool = False
    """Whether the contact's own time zone replaces those that its number suggests, instead of adding to them."""
    max_rows: Annotated[int, Field(ge=1, le=5_000_000)] = 1_000_000
    """Rows after which the import stops with an error."""
    label: ShortText | None = None
    """What the list is called in reports."""
