"""Requests of HTTP tools, filled with the model's arguments and the call's variables. Pure.

What the model writes may be what a caller made it write. So an argument counts only if the tool declares it, each value
is escaped for the place where it stands, and no value decides which host is asked.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import quote, urlsplit

from voicefleet.api.voiceagent.tools import HttpTool, Tool
from voicefleet.call_variables import PLACEHOLDER

Values = Mapping[str, object]
_WITHOUT_BODY = ("GET", "DELETE")


class RefusedError(Exception):
    """A request that is not made; says why in words for the model."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it goes out, but for what proves who it is from."""

    method: str
    url: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: str | None


def build_request(tool: Tool, http: HttpTool, arguments: Values, variables: Mapping[str, str]) -> HttpRequest:
    """Return the request of one tool call."""
    declared = {name: value for name, value in arguments.items() if name in declared_arguments(tool)}
    values = {**variables, **declared}
    headers = {name: _fill(text, values, _as_text) for name, text in (http.headers or {}).items()}
    if any("\n" in value or "\r" in value for value in headers.values()):
        raise RefusedError("an argument holds a line break where none may be")
    body = None
    if http.method not in _WITHOUT_BODY:
        headers = {"Content-Type": "application/json", **headers}
        body = json.dumps(declared) if http.body is None else _fill_body(http.body, values, headers)
    return HttpRequest(
        method=http.method,
        url=_fill(http.url, values, lambda value: quote(_as_text(value), safe="")),
        query=tuple((name, _fill(text, values, _as_text)) for name, text in (http.query or {}).items()),
        headers=tuple(headers.items()),
        body=body,
    )


def declared_arguments(tool: Tool) -> frozenset[str]:
    """Return the names of the arguments that a tool says it takes."""
    properties = (tool.parameters or {}).get("properties", {})
    return frozenset(properties) if isinstance(properties, Mapping) else frozenset()


def check_host(url: str, template: str, allowed: tuple[str, ...]) -> None:
    """Refuse a host that nobody has allowed: by the policy's list, or else by naming it in the tool."""
    host = (urlsplit(url).hostname or "").lower()
    if allowed:
        if not any(fnmatchcase(host, pattern.lower()) for pattern in allowed):
            raise RefusedError("the tool may not reach that host")
    elif host != (urlsplit(template).hostname or "").lower():
        raise RefusedError("the tool may not reach another host than its own")


def take_from_answer(answer: object, path: str) -> str | None:
    """Return the value at a path such as `$.order.items[0].status` as text, if there is one."""
    at: object = answer
    for step in path.removeprefix("$").replace("[", ".").replace("]", "").split("."):
        if not step:
            continue
        if isinstance(at, Mapping):
            at = at.get(step)
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            return None
    return None if at is None else _as_text(at)


def _fill(template: str, values: Values, escape: Callable[[object], str]) -> str:
    """Fill the double braces; what nobody knows leaves nothing behind, and what is filled in is not filled again."""
    return PLACEHOLDER.sub(lambda found: escape(values[found[1]]) if found[1] in values else "", template)


def _fill_body(template: str, values: Values, headers: Mapping[str, str]) -> str:
    kind = next(value for name, value in headers.items() if name.lower() == "content-type").lower()
    if "json" in kind:
        return _fill(template, values, _inside_json)
    if "form-urlencoded" in kind:
        return _fill(template, values, lambda value: quote(_as_text(value), safe=""))
    return _fill(template, values, _as_text)


def _inside_json(value: object) -> str:
    """Escape a value for a place between quotes; of what is no text, quotes would make one."""
    text = json.dumps(value, ensure_ascii=False)
    return text[1:-1] if isinstance(value, str) else text


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
