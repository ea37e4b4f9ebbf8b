"""The words and numbers that fields are made of. A name says its unit; every size has an upper bound.

Bounds are not taste: the server estimates what a rule may cost from the largest value it could meet.
"""

import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    Strict,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from voicefleet.api.markers import MAX_PLAIN_QUANTITY, Between, FreeForm, IntOrString

T = TypeVar("T")

# Lists arrive as JSON arrays and are kept as tuples, so that a frozen model is frozen all the way down.
Items = Annotated[tuple[T, ...], Strict(strict=False)]


def _matches(pattern: str) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: int | str) -> int | str:
        if isinstance(value, str) and not compiled.search(value):
            raise PydanticCustomError(
                "pattern", "'{value}' is not a size such as 4, 500m or 8Gi", {"value": value[:40]}
            )
        return value

    return AfterValidator(check)


QUANTITY_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
Quantity = Annotated[
    Annotated[int, Field(ge=0, le=MAX_PLAIN_QUANTITY)] | Annotated[str, StringConstraints(max_length=20)],
    _matches(QUANTITY_PATTERN),
    IntOrString(QUANTITY_PATTERN),
]
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
HttpUrl = Annotated[str, StringConstraints(max_length=2048, pattern=HTTP_URL)]
WebSocketUrl = Annotated[str, StringConstraints(max_length=2048, pattern=WEBSOCKET_URL)]


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
    CLOCK_TIME: "a time of day such as 09:30; write it in quotes",
    TIME_ZONE: "a time zone such as Europe/Berlin",
    LANGUAGE: "a language such as en or pt-BR",
    COUNTRY: "a country in two capitals, such as DE",
    INSTANT: "an instant in UTC such as 2026-12-01T08:00:00Z",
    CRON: "five cron fields, such as 30 8 * * 1-5",
    IMAGE: "an image reference such as registry.example.com/worker:1.2",
    HTTP_URL: "an http or https address without user, password or '@'",
    WEBSOCKET_URL: "a ws or wss address without user, password or '@'",
    DTMF_DIGITS: "keys of a phone: 0-9, *, #, A-D, or w for a pause",
    QUANTITY_PATTERN: "a size such as 4, 500m or 8Gi",
}
