"""The law that everything else stands on: the server and our models accept the same objects.

Random objects, whole and damaged, are sent to a real apiserver and given to `check_manifest`. The same objects come
in every run; more of them, or others, with `VOICEFLEET_OBJECTS=5000` and `VOICEFLEET_SEED=1`.
"""

import http.client
import json
import os
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from e2e.bench import Bench
from tests.support.manifests import Manifest, damaged, manifests
from voicefleet.api import API_VERSION
from voicefleet.api.kinds import KINDS
from voicefleet.validation import check_manifest

_OBJECTS = int(os.environ.get("VOICEFLEET_OBJECTS", "300"))
_SEED = int(os.environ.get("VOICEFLEET_SEED", "20261121"))
_SETTINGS = settings(
    max_examples=_OBJECTS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
    print_blob=False,
)


class Server:
    """Asks whether objects would be created, over one connection."""

    def __init__(self, url: str, token: str, ca_file: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca_file))
        self._connection = http.client.HTTPSConnection(urlsplit(url).netloc, context=context, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def try_to_create(self, kind: str, manifest: Manifest) -> tuple[int, str]:
        """Return the status of a dry run, and what the server says besides."""
        path = f"/apis/{API_VERSION}/namespaces/default/{KINDS[kind].INFO.plural}"
        query = "?dryRun=All&fieldValidation=Strict"
        self._connection.request("POST", path + query, json.dumps(manifest), self._headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        try:
            return answer.status, str(json.loads(raw).get("message", ""))
        except ValueError:
            return answer.status, raw.decode(errors="replace")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@pytest.fixture(scope="module")
def server(bench: Bench, crds: None) -> Iterator[Server]:  # noqa: ARG001
    server = Server(bench.api_url, bench.admin_token, bench.ca_file)
    yield server
    server.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_the_server_and_the_model_accept_the_same_objects(kind: str, server: Server) -> None:
    seen: Counter[bool] = Counter()

    @seed(_SEED)
    @_SETTINGS
    @given(manifest=manifests(kind) | damaged(kind))
    def agree(manifest: Manifest) -> None:
        problems = check_manifest(manifest)
        status, message = server.try_to_create(kind, manifest)
        seen[status == 201] += 1
        ours = [f"{problem.field}: {problem.message}" for problem in problems]
        assert (status == 201) == (not problems), f"the server says {status} {message}, the model {ours}"

    agree()
    # A law about what is accepted says nothing if hardly anything is, and neither does one about what is refused.
    assert sum(seen.values()) >= min(_OBJECTS, 250)
    assert min(seen[True], seen[False]) >= 0.25 * sum(seen.values()), seen
