"""The apiserver, as requests with paths and dicts: the official client's configuration, not its models.

Models lose the fields of newer servers, and cost more than the request itself. Every request has a time-out.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config.config_exception import ConfigException

from voicefleet.api import API_VERSION
from voicefleet_operator.apiserver.unpacking import lines_of, unpack
from voicefleet_operator.errors import ApiError, ConfigError
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.pulse import QUIET_SECONDS

Body = dict[str, Any]

JSON = "application/json"
# Nobody reads warnings of fields that a server does not know, and it would look at each write more closely for them.
_UNCHECKED = {"fieldValidation": "Ignore"}
# Whoever knows what it has just written needs no copy of it.
_METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
# What kubectl shows, and nothing else: no object comes over the wire, and no other form of answer is taken.
_TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
_WITHOUT_OBJECTS = {"includeObject": "None"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
STRATEGIC_PATCH = {"Content-Type": "application/strategic-merge-patch+json"}
APPLY_PATCH = {"Content-Type": "application/apply-patch+yaml"}
READ_SECONDS = 10.0
# A write that began while we led must be over before anybody else may lead: the lease lasts 15 s, and we stop
# believing in it 10 s after it was last renewed.
WRITE_SECONDS = 4.0
_PAGE = 500
_READ_AT_ONCE = 2**20
_USER_AGENT = "voicefleet-operator"
_WATCH_SECONDS = 290
_MESSAGE_LENGTH = 500
_UNKNOWN_FIELD = "field not declared in schema"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """Where objects of one kind live."""

    base: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of the collection, of one object, or of a part of it."""
        parts = [self.base]
        parts += ["namespaces", namespace] if namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


VOICE_AGENTS = ResourceType(f"/apis/{API_VERSION}", "voiceagents")
PROVIDER_POOLS = ResourceType(f"/apis/{API_VERSION}", "providerpools")
PODS = ResourceType("/api/v1", "pods")
EVENTS = ResourceType("/api/v1", "events")
SECRETS = ResourceType("/api/v1", "secrets")
NODES = ResourceType("/api/v1", "nodes")
NAMESPACES = ResourceType("/api/v1", "namespaces")
LEASES = ResourceType("/apis/coordination.k8s.io/v1", "leases")
TYPES_BY_KIND = {
    "VoiceAgent": VOICE_AGENTS,
    "ProviderPool": PROVIDER_POOLS,
    "ConfigMap": ResourceType("/api/v1", "configmaps"),
    "Secret": SECRETS,
    "ServiceAccount": ResourceType("/api/v1", "serviceaccounts"),
    "NetworkPolicy": ResourceType("/apis/networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ResourceType("/apis/policy/v1", "poddisruptionbudgets"),
}


async def load_configuration(kubeconfig: str | None) -> client.Configuration:
    """Return how the apiserver is reached: by a kubeconfig if one is named, else as a pod of the cluster."""
    configuration = client.Configuration()
    try:
        if kubeconfig:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        hint = f"--kubeconfig {kubeconfig}" if kubeconfig else "not in a cluster; name a --kubeconfig"
        raise ConfigError(f"{hint}: {error}") from error
    return configuration


def open_session(configuration: client.Configuration, **more: Any) -> aiohttp.ClientSession:  # noqa: ANN401
    """Return connections to the apiserver."""
    tls = RESTClientObject(configuration).ssl_context
    # Without a limit: each watch holds a connection for as long as it lasts, and there is one for each namespace.
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    # The apiserver is spoken to directly, whatever proxy the environment names for the outside world.
    return aiohttp.ClientSession(connector=connector, trust_env=False, read_bufsize=_READ_AT_ONCE, **more)


class Kube:
    """Requests to the apiserver."""

    def __init__(self, configuration: client.Configuration, metrics: Metrics) -> None:
        self._configuration = configuration
        self._metrics = metrics
        self._session = open_session(configuration)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def get(self, path: str, **query: str) -> Body:
        """Read one path."""
        return await self.request("GET", path, query=query)

    async def post(self, path: str, body: Body) -> Body:
        """Create one object and return its metadata."""
        return await self._write("POST", path, body, _METADATA_ONLY)

    async def merge(self, path: str, body: Body, *, timeout_seconds: float = WRITE_SECONDS) -> Body:
        """Change some fields of an object; a resourceVersion among them makes it conditional."""
        return await self._write("PATCH", path, body, MERGE_PATCH, timeout_seconds=timeout_seconds)

    async def merge_strategically(self, path: str, body: Body) -> Body:
        """Change some fields of an object whose lists have keys, such as the containers of a pod."""
        return await self._write("PATCH", path, body, STRATEGIC_PATCH)

    async def apply(self, path: str, body: Body, *, field_manager: str) -> Body:
        """Bring an object that is ours to what a manifest says."""
        return await self._write("PATCH", path, body, APPLY_PATCH, fieldManager=field_manager, force="true")

    async def delete(self, path: str, body: Body) -> Body:
        """Delete one object under the conditions of the body."""
        return await self.request("DELETE", path, body=body, timeout_seconds=WRITE_SECONDS)

    async def version_of(self, path: str) -> str:
        """Return the resourceVersion of a collection, from which a watch can begin; nothing of what is in it."""
        table = await self.request("GET", path, query={"limit": "1", **_WITHOUT_OBJECTS}, types=_TABLE)
        return str(table["metadata"]["resourceVersion"])

    async def pages(self, path: str, **query: str) -> AsyncIterator[Body]:
        """Yield a collection in pages, all of one resourceVersion."""
        going_on: dict[str, str] = {}
        while True:
            page = await self.get(path, **query, limit=str(_PAGE), **going_on)
            yield page
            token = page["metadata"].get("continue")
            if not token:
                return
            going_on = {"continue": token}

    async def _write(
        self,
        method: str,
        path: str,
        body: Body,
        types: Mapping[str, str],
        *,
        timeout_seconds: float = WRITE_SECONDS,
        **query: str,
    ) -> Body:
        query |= _UNCHECKED
        return await self.request(method, path, body=body, query=query, types=types, timeout_seconds=timeout_seconds)

    async def request(  # noqa: PLR0913 - the one place where all of them meet
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        query: Mapping[str, str] | None = None,
        types: Mapping[str, str] | None = None,
        timeout_seconds: float = READ_SECONDS,
    ) -> Body:
        """Send one request and return the decoded answer, or raise `ApiError`."""
        status = 0
        try:
            patience = aiohttp.ClientTimeout(total=timeout_seconds)
            async with await self._ask(method, _where(path, query), patience, body, types) as answer:
                data = await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _out_of_reach(error) from error
        finally:
            self._metrics.requests.labels(method, _plural_in(path), str(status)).inc()
        return _decode(answer.status, answer.reason or "", data)

    def watch(self, path: str, *, version: str, opened: Callable[[], None], **query: str) -> AsyncGenerator[Body]:
        """Yield what happens to a collection after a version, until the server ends it; raise `ApiError` at silence."""
        return self._watch(path, version, opened, query)

    def watch_names(self, path: str, *, version: str) -> AsyncGenerator[Body]:
        """Yield the same, and of each object a row of a table, whose first cell is its name."""
        return self._watch(path, version, lambda: None, dict(_WITHOUT_OBJECTS), _TABLE)

    async def _watch(
        self,
        path: str,
        version: str,
        opened: Callable[[], None],
        query: dict[str, str],
        types: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Body]:
        query |= {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        # The server ends a watch now and then, so that watches spread over the servers again.
        query["timeoutSeconds"] = str(_WATCH_SECONDS)
        patience = aiohttp.ClientTimeout(total=None, sock_connect=READ_SECONDS, sock_read=QUIET_SECONDS)
        try:
            async with await self._ask("GET", _where(path, query), patience, types=types) as answer:
                self._metrics.requests.labels("WATCH", _plural_in(path), str(answer.status)).inc()
                if answer.status != HTTPStatus.OK:
                    _decode(answer.status, answer.reason or "", await answer.read())
                opened()
                async for line in lines_of(answer.content):
                    yield _event(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _out_of_reach(error) from error

    async def _ask(
        self,
        method: str,
        where: str,
        patience: aiohttp.ClientTimeout,
        body: Body | None = None,
        types: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        configuration = self._configuration
        # Asking for it each time also reads a token that was replaced.
        token = await configuration.get_api_key_with_prefix("BearerToken")
        # Between us and the apiserver the wire is faster than unpacking.
        headers = {"Accept": JSON, "Accept-Encoding": "identity", "Content-Type": JSON, "User-Agent": _USER_AGENT}
        return await self._session.request(
            method,
            configuration.host + where,
            headers=headers | dict(types or {}) | ({"Authorization": token} if token else {}),
            data=None if body is None else orjson.dumps(body),
            timeout=patience,
            proxy=configuration.proxy,
            proxy_headers=configuration.proxy_headers,
            server_hostname=configuration.tls_server_name,
        )


def _where(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _plural_in(path: str) -> str:
    """Return the kind of object that a path leads to; the namespace itself is one, too."""
    parts = path.split("/")
    # /api/v1/... or /apis/GROUP/v1/..., and there perhaps namespaces/NAME/ before the kind.
    rest = parts[3:] if parts[1] == "api" else parts[4:]
    return rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]


def _decode(status: int, reason: str, data: bytes) -> Body:
    try:
        document: Body = dict(unpack(data)) if data else {}
    except (ValueError, TypeError) as error:
        # Whatever stands between us and the apiserver does not speak JSON.
        raise ApiError(status, reason, data[:_MESSAGE_LENGTH].decode(errors="replace")) from error
    if not 200 <= status < 300:
        raise ApiError(status, document.get("reason") or reason, _in_words(str(document.get("message") or "")))
    return document


def _event(line: bytes) -> Body:
    event = _decode(HTTPStatus.OK, "", line)
    if event.get("type") == "ERROR":
        status = event.get("object", {})
        raise ApiError(status.get("code", 0), status.get("reason", ""), _in_words(str(status.get("message") or "")))
    return event


def _out_of_reach(error: Exception) -> ApiError:
    return ApiError(0, type(error).__name__, str(error)[:_MESSAGE_LENGTH])


def _in_words(message: str) -> str:
    """Say what to do about an answer that says only what is wrong."""
    hint = "the CRDs are older than this operator, apply those of its version: " if _UNKNOWN_FIELD in message else ""
    return hint + message[:_MESSAGE_LENGTH]
