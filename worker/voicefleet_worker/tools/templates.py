"""Requests of HTTP tools, filled with the model's arguments and the call's variables. Pure.

What the model writes may be what a caller made it write. So an argument counts only if the tool declares it, each value
is escaped for the place where it stands, and no value decides which host is asked.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit
from xml.sax.saxutils import escape

from voicefleet.api.voiceagent.tools import HttpTool, Tool
from voicefleet.conversation.call_variables import PLACEHOLDER, whole
from voicefleet.conversation.reaching import is_allowed

Values = Mapping[str, object]
_WITHOUT_BODY = ("GET", "DELETE")
_CONTENT_TYPE = "content-type"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')
# What an author may write in an address; of anything else only the code stands there.
_OF_ADDRESSES = "%:/?#[]!$&'()*+,;="
# What leads to another place than the one that stands there.
_NOWHERE = ("", ".", "..")


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

    @property
    def address(self) -> str:
        """The URL with the query, escaped so that no value is more than a value, whichever marks a service knows."""
        url = self.url.partition("#")[0]
        mark = "&" if "?" in url else "?"
        query = urlencode(self.query, quote_via=quote, safe="", errors="replace")
        return f"{url}{mark}{query}" if query else url


def build_request(tool: Tool, http: HttpTool, arguments: Values, variables: Mapping[str, str]) -> HttpRequest:
    """Return the request of one tool call."""
    declared = {name: value for name, value in arguments.items() if name in declared_arguments(tool)}
    values = {**variables, **declared}
    headers = {name: _fill(text, values, _as_text) for name, text in (http.headers or {}).items()}
    if any(_CONTROL.search(value) for value in headers.values()):
        raise RefusedError("an argument holds a line break where none may be")
    body = None
    if http.method not in _WITHOUT_BODY:
        if not any(name.lower() == _CONTENT_TYPE for name in headers):
            headers["Content-Type"] = "application/json"
        body = json.dumps(declared) if http.body is None else _fill_body(http.body, values, headers)
    return HttpRequest(
        method=http.method,
        url=_fill_url(http.url, values),
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
        if not is_allowed(host, allowed):
            raise RefusedError("the tool may not reach that host")
    elif host != (urlsplit(template).hostname or "").lower():
        raise RefusedError("the tool may not reach another host than its own")


def take_from_answer(answer: object, path: str) -> str | None:
    """Return the value at a path such as `$.order.items[0].status` as text, if there is one.

    A number that is none, such as NaN, is no value.
    """
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
    try:
        return None if at is None else whole(_as_text(at))
    except (ValueError, RecursionError):
        return None


def _fill(template: str, values: Values, escaped: Callable[[object], str]) -> str:
    """Fill the double braces; what nobody knows leaves nothing behind, and what is filled in is not filled again."""
    return PLACEHOLDER.sub(lambda found: escaped(values[found[1]]) if found[1] in values else "", template)


def _fill_url(template: str, values: Values) -> str:
    """Fill an address; a path stays the one that its author wrote, with other names in it."""
    filled_in = _fill(template, values, lambda value: quote(_as_text(value), safe="", errors="replace"))
    url = quote(filled_in, safe=_OF_ADDRESSES)
    written, filled = (urlsplit(each).path.split("/") for each in (template, url))
    if any(now in _NOWHERE and before not in _NOWHERE for before, now in zip(written, filled, strict=False)):
        raise RefusedError("an argument that names something is missing, or is no name")
    return url


def _fill_body(template: str, values: Values, headers: Mapping[str, str]) -> str:
    kind = next(value for name, value in headers.items() if name.lower() == _CONTENT_TYPE).lower()
    if "json" in kind:
        return _fill_json(template, values)
    if "form-urlencoded" in kind:
        return _fill(template, values, lambda value: quote(_as_text(value), safe="", errors="replace"))
    if "xml" in kind:
        return _fill(template, values, lambda value: escape(_as_text(value), {'"': "&quot;", "'": "&apos;"}))
    return _fill(template, values, _as_text)


def _fill_json(template: str, values: Values) -> str:
    """Fill a JSON body: between quotes with text, and elsewhere with a whole value, or null if there is none."""

    def write(found: re.Match[str]) -> str:
        value = values.get(found[1])
        if _is_inside_text(template[: found.start()]):
            return json.dumps("" if value is None else _as_text(value))[1:-1]
        return json.dumps(value)

    return PLACEHOLDER.sub(write, template)


def _is_inside_text(before: str) -> bool:
    return len(_QUOTE.findall(before)) % 2 == 1


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
