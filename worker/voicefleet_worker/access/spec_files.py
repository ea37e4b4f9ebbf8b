"""Reading the mounted spec: text to models, with every failure as one line that names file and field."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from voicefleet.api import ProviderPool, Resource, VoiceAgent
from voicefleet.conversation.dialogue import AgentPlan, DialoguePlan
from voicefleet.names import text_file
from voicefleet_worker.problems import BadInputError

Kind = TypeVar("Kind", bound=Resource)
_SHOWN_ERRORS = 3
_MOST_BYTES = 4 * 1024 * 1024


class _PlainLoader(yaml.SafeLoader):
    """YAML without dates: the models read them as text, as JSON has them."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_agent(path: Path) -> VoiceAgent:
    """Read the VoiceAgent."""
    return _load(path, VoiceAgent, "VoiceAgent")


def load_pool(path: Path) -> ProviderPool:
    """Read the ProviderPool."""
    return _load(path, ProviderPool, "ProviderPool")


def with_texts(plan: DialoguePlan, directory: Path) -> DialoguePlan:
    """Return the plan with the instructions that stand in ConfigMaps, as they are at this moment."""
    return replace(plan, agents=tuple(_with_text(agent, directory) for agent in plan.agents))


def _with_text(agent: AgentPlan, directory: Path) -> AgentPlan:
    ref = agent.instructions_from
    if ref is None:
        return agent
    path = directory / text_file(ref.name, ref.key)
    text = _read(path)
    if not text.strip():
        raise BadInputError(str(path), "holds no instructions")
    return replace(agent, instructions=text)


def _load(path: Path, model: type[Kind], kind: str) -> Kind:
    body = _parse(path)
    if body.get("kind") != kind:
        raise BadInputError(str(path), f"expected {kind}, found {_shown(body.get('kind'))}", "kind")
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        raise BadInputError(str(path), *_first_errors(error)) from None


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadInputError(str(path), f"larger than {_MOST_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInputError(str(path), "is not UTF-8 text") from None


def _parse(path: Path) -> Mapping[str, Any]:
    text = _read(path)
    try:
        body = yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader with fewer types
    except yaml.YAMLError as error:
        raise BadInputError(str(path), _yaml_message(error)) from None
    if not isinstance(body, Mapping):
        raise BadInputError(str(path), f"expected an object, found {_shown(body)}")
    return body


def _first_errors(error: ValidationError) -> tuple[str, str]:
    """Return message and field of the first error, with the next ones and the number of others behind it."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    first, *others = [(".".join(map(str, item["loc"])), item["msg"]) for item in errors]
    further = [f"{field}: {message}" for field, message in others[: _SHOWN_ERRORS - 1]]
    hidden = len(others) - len(further)
    tail = [f"and {hidden} more"] if hidden else []
    return "; ".join([first[1], *further, *tail]), first[0]


def _yaml_message(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"is not valid YAML or JSON: line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return "is not valid YAML or JSON"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{value[:40]!r}" if isinstance(value, str) else f"a {type(value).__name__}"
