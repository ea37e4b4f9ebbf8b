"""The verdict that the apiserver would give on a manifest, without an apiserver.

It knows the three kinds and nothing else: no files, no lines, no cluster. What names does not exist in the cluster,
such as a missing Secret, is not its business; a condition says that later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from voicefleet.api import API_VERSION, GROUP, Resource
from voicefleet.api.base import ApiModel
from voicefleet.api.kinds import KINDS
from voicefleet.api.references import looks_like_a_secret
from voicefleet.complaints import UNKNOWN, complaint_about, model_within

Path = tuple[str | int, ...]

# What the server appends to a generateName.
_GENERATED = "xxxxx"
# Where somebody wrote a key in place of a field's name.
_HIDDEN = "<secret>"
_LONGEST_BEGINNING = 58


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that an author must change, and where."""

    path: Path
    message: str

    @property
    def field(self) -> str:
        """Write the path as the server does: spec.agents[0].name."""
        text = ""
        for part in self.path:
            shown = _HIDDEN if isinstance(part, str) and looks_like_a_secret(part) else part
            text += f"[{shown}]" if isinstance(part, int) else f".{shown}" if text else str(shown)
        return text


def is_ours(document: object) -> bool:
    """Tell whether a manifest is of one of our kinds, or meant to be."""
    if not isinstance(document, Mapping):
        return False
    api_version, kind = document.get("apiVersion"), document.get("kind")
    group, slash, _ = str(api_version or "").partition("/")
    # A kind of ours without a group, or with a group much like ours, was meant to be ours.
    return group == GROUP or (str(kind) in KINDS and (not slash or group.startswith("voicefleet")))


def check_manifest(document: object) -> tuple[Problem, ...]:
    """Return what keeps a manifest of ours from being accepted; nothing means that it would be."""
    if not isinstance(document, Mapping):
        return (Problem((), "a manifest is a mapping that begins with apiVersion and kind"),)
    envelope = _check_envelope(document)
    if envelope:
        return envelope
    kind = KINDS[str(document["kind"])]
    return (*_complain(kind, _as_created(document)), *_check_status(kind, document.get("status")))


def check_update(old: Resource, new: Resource) -> tuple[Problem, ...]:
    """Return what keeps one object from becoming the other: the laws that look at both."""
    return tuple(_broken_transitions(old, new, ()))


def _complain(model: type[ApiModel], value: object) -> tuple[Problem, ...]:
    try:
        model.model_validate(value, extra="forbid", by_alias=True, by_name=False)
    except ValidationError as error:
        return problems_in(error, model)
    return ()


def _check_status(kind: type[Resource], status: object) -> tuple[Problem, ...]:
    """Look for unknown fields, which the server refuses even in a status that it then drops."""
    model = model_within(kind.model_fields["status"].annotation)
    if model is None or not isinstance(status, Mapping):
        return ()
    found = _complain(model, status)
    return tuple(Problem(("status", *p.path), p.message) for p in found if p.message.startswith(UNKNOWN))


def _check_envelope(document: Mapping[Any, Any]) -> tuple[Problem, ...]:
    for name in ("apiVersion", "kind"):
        if not document.get(name):
            return (Problem((name,), "is required"),)
    if document["apiVersion"] != API_VERSION:
        return (Problem(("apiVersion",), f"must be {API_VERSION}, was {_shown(document['apiVersion'])}"),)
    if document["kind"] not in KINDS:
        known = ", ".join(KINDS)
        return (Problem(("kind",), f"must be one of {known}, was {_shown(document['kind'])}"),)
    return ()


def _as_created(document: Mapping[Any, Any]) -> dict[Any, Any]:
    """See the manifest as the server does on create: status falls away, a name is generated if asked for."""
    seen = {name: value for name, value in document.items() if name != "status"}
    metadata = seen.get("metadata")
    if isinstance(metadata, Mapping) and not metadata.get("name") and isinstance(metadata.get("generateName"), str):
        seen["metadata"] = {**metadata, "name": metadata["generateName"][:_LONGEST_BEGINNING] + _GENERATED}
    return seen


def problems_in(error: ValidationError, kind: type[ApiModel]) -> tuple[Problem, ...]:
    """Return what a model found, each thing once, where its author would look for it."""
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # only because its entries are wrong, which is said already
        path = detail["loc"]
        if path[-1:] == ("[key]",) and detail["type"] == "name":
            path = path[:-1]
        if detail["type"] == "duplicate":
            path = (*path, int(detail["ctx"]["index"]))
        found.setdefault(path, Problem(path, complaint_about(detail, path, kind)))
    return tuple(found.values())


def _broken_transitions(old: ApiModel, new: ApiModel, path: Path) -> list[Problem]:
    broken = [Problem(path, law.message) for law in new.TRANSITIONS if not law.check(old, new)]
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, ApiModel) and isinstance(after, ApiModel):
            broken += _broken_transitions(before, after, (*path, field.alias or name))
    return broken


def _shown(value: object) -> str:
    text = str(value)
    return "a secret" if looks_like_a_secret(text) else ascii(text[:60])
