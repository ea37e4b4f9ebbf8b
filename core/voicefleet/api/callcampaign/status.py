"""What the operator says about a CallCampaign: counters and reasons, never rows."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel
from voicefleet.api.conditions import CommonStatus, Tally
from voicefleet.api.markers import Between, ListMap
from voicefleet.api.types import Count, Fraction, Items, Label, Price, Timestamp

Rows = Annotated[int, Field(ge=0, le=10_000_000)]


class ImportStatus(ApiModel):
    """What became of the file."""

    rows: Rows = 0
    """Rows read."""
    accepted: Rows = 0
    """Rows that became contacts."""
    rejected: Annotated[Items[Tally], Field(max_length=32), ListMap("name")] = ()
    """Rows that did not, by reason."""
    digest: Annotated[str, StringConstraints(max_length=80)] = ""
    """Hash of the file."""
    finished_at: Timestamp | None = None
    """When the import ended."""


class ContactCounts(ApiModel):
    """Contacts by what is happening to them."""

    waiting: Rows = 0
    """Due now or later."""
    dialing: Count = 0
    """Being called, not yet answered."""
    talking: Count = 0
    """In conversation."""
    retrying: Rows = 0
    """Waiting for another attempt."""
    finished: Rows = 0
    """With a final result."""
    refused: Rows = 0
    """Not called, for a reason that is on record."""


class ArmStatus(ApiModel):
    """How one variant does."""

    name: Label
    """Name of the arm."""
    calls: Count = 0
    """Calls made."""
    reached: Count = 0
    """Calls that met the goal."""
    low: Fraction = 0.0
    """Lower end of the interval for the share."""
    high: Fraction = 1.0
    """Upper end of the interval for the share."""


class CallCampaignStatus(CommonStatus):
    """What the operator says about a CallCampaign."""

    summary: Annotated[str, StringConstraints(max_length=256)] = ""
    """State in one line."""
    state: Literal["Pending", "Importing", "Waiting", "Running", "Suspended", "Draining", "Complete", "Failed"] = (
        "Pending"
    )
    """How far it is."""
    progress: Annotated[str, StringConstraints(max_length=32)] = ""
    """Contacts with a final result, of all, such as 120/5000."""
    limit: Annotated[str, StringConstraints(max_length=64)] = ""
    """What holds the pace: Window, Slots, ProviderQuota, TrunkRate, CampaignCap, OrganisationCap or Nothing."""
    import_: Annotated[ImportStatus | None, Field(alias="import")] = None
    """What became of the file."""
    contacts: ContactCounts = ContactCounts()
    """Contacts by what is happening to them."""
    outcomes: Annotated[Items[Tally], Field(max_length=32), ListMap("name")] = ()
    """Finished attempts by outcome."""
    refusals: Annotated[Items[Tally], Field(max_length=32), ListMap("name")] = ()
    """Calls not made, by reason."""
    attempts: Rows = 0
    """Attempts made."""
    answered: Rows = 0
    """Attempts that were answered."""
    calls_per_second: Annotated[float, Between(0, 1000)] = 0.0
    """Calls begun per second, lately."""
    abandoned_fraction: Fraction = 0.0
    """Share of answered calls without anybody to speak."""
    cost: Price | None = None
    """What the campaign has cost so far."""
    next_window_at: Timestamp | None = None
    """When calling next begins."""
    estimated_end_at: Timestamp | None = None
    """When the campaign will be through at its present pace."""
    arms: Annotated[Items[ArmStatus], Field(max_length=8), ListMap("name")] = ()
    """How each variant does."""
    job: Annotated[str, StringConstraints(max_length=63)] = ""
    """Job of the dialer."""
