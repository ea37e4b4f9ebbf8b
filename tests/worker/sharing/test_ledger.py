"""How a pool's Redis is reached, and what is made of an answer of it."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.worker.files import POOL, Mounted
from voicefleet.api.providerpool.connections import Redis as RedisSpec
from voicefleet.api.references import SecretKeyRef
from voicefleet.providers.permits import Minute
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.settings import load_settings
from voicefleet_worker.sharing.ledger import AwayError, RedisAccess, _read_picture

PASSWORD, URL, CA = (SecretKeyRef(name="redis", key=key) for key in ("password", "url", "ca.crt"))
TOLD = [1, 0, "", "[1]", [2, 3, 4, 5]]


@pytest.fixture
def secrets(tmp_path: Path) -> SecretFiles:
    (tmp_path / "redis").mkdir()
    return SecretFiles(tmp_path)


def put(secrets: SecretFiles, key: str, value: str) -> None:
    (secrets.directory / "redis" / key).write_text(value)


def settings_of(spec: RedisSpec, secrets: SecretFiles) -> dict[str, Any]:
    """Return what a new connection goes by."""
    ledger = RedisAccess(spec, secrets, "key").connect("one")
    connected: dict[str, Any] = ledger._client.connection_pool.connection_kwargs
    return connected


def test_a_new_password_counts_at_the_next_connection(secrets: SecretFiles) -> None:
    spec = RedisSpec(url="redis://redis:6379/3", password=PASSWORD)
    put(secrets, "password", "old\n")
    before = settings_of(spec, secrets)
    put(secrets, "password", "new\n")

    assert (before["host"], before["db"], before["password"]) == ("redis", 3, "old")
    assert settings_of(spec, secrets)["password"] == "new"


def test_an_address_from_a_secret_brings_its_own_password(secrets: SecretFiles) -> None:
    put(secrets, "url", "redis://user:hidden@redis:6380/0\n")
    connected = settings_of(RedisSpec(url_from=URL), secrets)

    assert (connected["username"], connected["password"], connected["port"]) == ("user", "hidden", 6380)


def test_with_tls_the_server_must_be_who_it_says(secrets: SecretFiles) -> None:
    put(secrets, "ca.crt", "-----BEGIN CERTIFICATE-----")
    ledger = RedisAccess(RedisSpec(url="rediss://redis:6379", ca_certificate=CA), secrets, "key").connect("one")
    context = ledger._client.connection_pool.make_connection().ssl_context  # type: ignore[attr-defined]

    assert (context.cert_reqs, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.ca_data == "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize("address", ["http://user:hidden@redis", "redis://user:hidden@redis:port/0", "hidden"])
def test_an_address_that_is_none_is_not_repeated(secrets: SecretFiles, address: str) -> None:
    put(secrets, "url", address)
    with pytest.raises(BadInputError, match="holds no address of a Redis") as refused:
        settings_of(RedisSpec(url_from=URL), secrets)

    assert "hidden" not in str(refused.value)


def test_a_certificate_for_a_connection_without_tls_is_a_mistake(secrets: SecretFiles) -> None:
    put(secrets, "ca.crt", "-----BEGIN CERTIFICATE-----")
    with pytest.raises(BadInputError, match="begins with rediss://"):
        settings_of(RedisSpec(url="redis://redis:6379", ca_certificate=CA), secrets)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        ["1", 1, 1],
        ["x", 1, 1, [TOLD]],
        ["1", 1, 1, []],
        ["1", 1, 1, [[1, 0, ""]]],
        ["1", 1, 1, [[1, 0, "", "[]"]]],
        ["1", 1, 1, [[1, 0, "", "{", [0, 0, 0, 0]]]],
        ["1", 1, 1, [[None, 0, "", "[]", [0, 0, 0, 0]]]],
        ["1", 1, 1, [[1, 0, "", "[]", [0, 0, 0]]]],
        ["1", 1, 1, [[1, 0, "", "[]", 7]]],
    ],
)
def test_an_answer_that_cannot_be_read_is_none(answer: object) -> None:
    with pytest.raises(AwayError, match="cannot be read"):
        _read_picture(answer, 1)


def test_an_answer_is_read() -> None:
    picture = _read_picture(["1790000000000", 1, 7, [TOLD]], 1)

    assert (picture.moment, picture.is_settled, picture.workers, picture.told[0].granted) == (1.79e9, True, 7, 1)
    assert (picture.told[0].permits, picture.told[0].minute) == (2, Minute(used=3, held=4, others_lacking=5))


def test_a_pool_is_shared_by_all_that_name_it_and_by_nobody_else(mounted: Mounted) -> None:
    spec = {**POOL["spec"], "redis": {"url": "redis://redis:6379"}}
    keys = []
    for namespace in (None, "front", "shared"):
        metadata = {"name": "default"} | ({"namespace": namespace} if namespace else {})
        (mounted.folder / "pool.json").write_text(json.dumps({**POOL, "metadata": metadata, "spec": spec}))
        access = load_settings(mounted.flags, {}).redis
        keys.append(access and access.key)

    # An agent without a word about it means the pool beside it.
    beside, elsewhere = "voicefleet:{front/default}:health", "voicefleet:{shared/default}:health"
    assert keys == [beside, beside, elsewhere]


def test_a_pool_without_redis_is_shared_by_nobody(mounted: Mounted) -> None:
    assert load_settings(mounted.flags, {}).redis is None
