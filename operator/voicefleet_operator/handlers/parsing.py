"""Objects of the apiserver as models; one that this version cannot read is a value, too."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voicefleet.api import Resource
from voicefleet.api.conditions import CommonStatus
from voicefleet.complaints import complaint_about
from voicefleet_operator.kube import Body

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
        complaints = [_complain(detail, kind) for detail in error.errors(include_url=False)[:_COMPLAINTS_SHOWN]]
        return Refused("; ".join(complaints))


def parse_status(kind: type[StatusT], body: Body) -> StatusT:
    """Return what was said about an object before; what cannot be read was not said."""
    try:
        return kind.model_validate(body.get("status") or {})
    except ValidationError:
        return kind()


def _complain(detail: ErrorDetails, kind: type[Resource]) -> str:
    path = detail["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return f"{where or 'spec'} {complaint_about(detail, path, kind)}"
