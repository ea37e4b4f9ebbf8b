"""The words and numbers that fields are made of. A name says its unit; every size has an upper bound.

Bounds are not taste: the server estimates what a rule may cost from the largest value it could meet.
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    Strict,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from voicefleet.api.markers import Between, FreeForm, IntOrString, Unrepeated

T = TypeVar("T")

# Lists arrive as JSON arrays and are kept as tuples, so that a frozen model is frozen all the way down.
Items = Annotated[tuple[T, ...], Strict(strict=False)]


QUANTITY_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
Quantity = Annotated[int | str, IntOrString(QUANTITY_PATTERN)]
JsonObject = Annotated[dict[str, Any], FreeForm()]

Count = Annotated[int, Field(ge=0, le=1_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Percent = Annotated[int, Field(ge=0, le=100)]
Priority = Annotated[int, Field(ge=0, le=1000)]
WorkerCount = Annotated[int, Field(ge=0, le=10_000)]
Fraction = Annotated[float, Between(0, 1)]
Price = Annotated[float, Between(0, 1_000_000)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
Days = Annotated[int, Field(ge=1, le=3650)]

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

IDENTIFIER = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
E164 = r"^\+[1-9][0-9]{6,14}$"
COUNTRY = r"^[A-Z]{2}$"
LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
TIME_ZONE = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
CLOCK_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
DTMF_DIGITS = r"^[0-9*#A-Dw]+$"
CRON = r"^[0-9*,/A-Za-z-]+( [0-9*,/A-Za-z-]+){4}$"
IMAGE = r"^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*$"
Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
# Names that a model reads as a function's name: letters, digits and underscores.
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=IDENTIFIER)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Text = Annotated[str, StringConstraints(max_length=2048)]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
Image = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=IMAGE)]
PhoneNumber = Annotated[str, StringConstraints(max_length=16, pattern=E164)]
CountryCode = Annotated[str, StringConstraints(max_length=2, pattern=COUNTRY)]
Language = Annotated[str, StringConstraints(max_length=35, pattern=LANGUAGE)]
TimeZone = Annotated[str, StringConstraints(max_length=64, pattern=TIME_ZONE)]
ClockTime = Annotated[str, StringConstraints(max_length=5, pattern=CLOCK_TIME)]
DtmfDigits = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=DTMF_DIGITS)]
Cron = Annotated[str, StringConstraints(max_length=100, pattern=CRON)]
# A user or password in a URL would end up in every copy of the spec, so no '@' stands in host or path.
# Classes are spelled out: the server's and our regular expressions disagree about \s beyond ASCII.
_HOST_AND_PATH = r"[A-Za-z0-9._:\[\]-]+(/[!-?A-~]*)?$"
HTTP_URL = rf"^https?://{_HOST_AND_PATH}"
WEBSOCKET_URL = rf"^wss?://{_HOST_AND_PATH}"
SERVICE_URL = rf"^(https?|wss?)://{_HOST_AND_PATH}"
REDIS_URL = r"^rediss?://[A-Za-z0-9._:\[\]-]+(/[0-9]{1,2})?$"
_NO_PASSWORD = "without user, password or '@'"
HttpUrl = Annotated[
    str,
    StringConstraints(max_length=2048),
    Unrepeated(HTTP_URL, f"must be an http or https address {_NO_PASSWORD}, such as https://example.com/path"),
]
WebSocketUrl = Annotated[
    str,
    StringConstraints(max_length=2048),
    Unrepeated(WEBSOCKET_URL, f"must be a ws or wss address {_NO_PASSWORD}, such as wss://livekit.example.com"),
]
ServiceUrl = Annotated[
    str,
    StringConstraints(max_length=2048),
    Unrepeated(SERVICE_URL, f"must be an http, https, ws or wss address {_NO_PASSWORD}"),
]
RedisUrl = Annotated[
    str,
    StringConstraints(max_length=512),
    Unrepeated(REDIS_URL, f"must be an address such as redis://redis:6379/0 {_NO_PASSWORD}: put those into Secrets"),
]


def _real_instant(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        raise PydanticCustomError("date", "'{value}' is not a date that exists", {"value": value}) from error
    return value


INSTANT = r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"
Timestamp = Annotated[
    str,
    StringConstraints(
        max_length=20,
        pattern=INSTANT,
    ),
    AfterValidator(_real_instant),
    Field(json_schema_extra={"format": "date-time"}),
]

# What a person reads in place of a regular expression.
MEANING_OF_PATTERN = {
    DNS_LABEL: "lower-case letters, digits and '-', beginning and ending with a letter or digit",
    DNS_SUBDOMAIN: "lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
    IDENTIFIER: "letters, digits and '_', not beginning with a digit",
    E164: "a phone number with country code, such as +4930123456",
    CLOCK_TIME: "a time of day from 00:00 to 23:59, such as 09:30",
    TIME_ZONE: "a time zone such as Europe/Berlin",
    LANGUAGE: "a language such as en or pt-BR",
    COUNTRY: "a country in two capitals, such as DE",
    INSTANT: "an instant in UTC such as 2026-12-01T08:00:00Z",
    CRON: "five cron fields, such as 30 8 * * 1-5",
    IMAGE: "an image reference such as registry.example.com/worker:1.2",
    DTMF_DIGITS: "keys of a phone: 0-9, *, #, A-D, or w for a pause",
    r"^[A-Za-z0-9-]+$": "the name of a header, such as X-Api-Key",
    r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$": "a day such as 2026-12-25",
    r"^[-._a-zA-Z0-9]+$": "a key of letters, digits, '-', '_' and '.'",
    r"^[0-9*#]?$": "one key of a phone: 0-9, * or #",
    r"^[0-9a-fA-F:.]+/[0-9]{1,3}$": "a range of addresses such as 10.0.0.0/8",
    r"^[0-9a-fA-F:.]+(/[0-9]{1,3})?$": "an address or a range of them, such as 192.0.2.7 or 192.0.2.0/24",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and '_', not beginning with a digit",
    r"^[A-Za-z0-9_-]+$": "letters, digits, '-' and '_'",
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$": "lower-case letters, digits and '-', such as voice-prod",
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$": "a label's value: letters, digits, '-', '_' and '.'",
    r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$": "the name of a bucket: lower-case letters, digits, '-' and '.'",
    r"^[A-Za-z0-9!_.*()/={}-]*$": "the beginning of an object's name, such as {{agent}}/{{date}}/",
    r"^[A-Za-z0-9:._{}-]+$": "the name of a stream, such as voicefleet:records",
    r"^[A-Za-z0-9_.\[\]*$-]+$": "a path such as $.order.status",
    r"^(\*\.)?[A-Za-z0-9.-]+$": "a host such as api.example.com or *.example.com",
    r"^[A-Za-z0-9._/-]+$": "a path such as contacts/today.csv",
    r"^[a-z][a-z0-9]*$": "the name of a plugin, such as deepgram",
    r"^[A-Z]{3}$": "a currency in three capitals, such as EUR",
    r"^[A-Za-z0-9.:-]+$": "a host such as sip.carrier.example",
    r"^ST_[A-Za-z0-9]+$": "the id of a trunk on the LiveKit server, such as ST_a1b2c3",
    r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$": "a country or state such as US or US-CA",
    r"^[,;|\t]$": "one of , ; | or a tab",
    r"^[A-Z][A-Za-z]*$": "a word in CamelCase, such as Ready",
    r"^[A-Z][A-Za-z0-9]*$": "a word in CamelCase, such as AllWell",
}


def timestamp(moment: datetime) -> str:
    """Write a moment as the server does."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
