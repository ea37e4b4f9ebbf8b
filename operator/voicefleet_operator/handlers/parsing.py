"""Objects of the apiserver as models; one that this version cannot read is a value, too."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from voicefleet.api import Resource
from voicefleet.api.conditions import CommonStatus
from voicefleet.validation import problems_in
from voicefleet_operator.apiserver.kube import Body

ResourceT = TypeVar("ResourceT", bound=Resource)
StatusT = TypeVar("StatusT", bound=CommonStatus)
_COMPLAINTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that the server took and this version does not: its rules are stricter, or the object newer."""

    message: str


def parse_resource(kind: type[ResourceT], body: Body) -> ResourceT | Refused:
    """Return an object as its model, without its status."""
    try:
        return kind.model_validate({name: part for name, part in body.items() if name != "status"})
    except ValidationError as error:
        shown = problems_in(error, kind)[:_COMPLAINTS_SHOWN]
        return Refused("; ".join(f"{problem.field or 'spec'} {problem.message}" for problem in shown))


def parse_status(kind: type[StatusT], body: Body) -> StatusT:
    """Return what was said about an object before; what cannot be read was not said."""
    try:
        return kind.model_validate(body.get("status") or {})
    except ValidationError:
        return kind()
