"""The pool's Redis: address and password are read when a connection is made, so a rotated one is the one that works."""

from typing import Any

from redis import DriverInfo
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from voicefleet.api.providerpool.connections import Redis as RedisSpec
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.problems import BadInputError

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 3.0
_TLS = "rediss://"


def connect_to_redis(spec: RedisSpec, secrets: SecretFiles) -> Redis:
    """Return a client that connects when it is used first. Reads files: threads are for it."""
    url = spec.url or (secrets.read(spec.url_from) if spec.url_from else "")
    more: dict[str, Any] = {}
    if spec.ca_certificate:
        more["ssl_ca_data"] = secrets.read(spec.ca_certificate)
    if more and not url.startswith(_TLS):
        raise BadInputError("spec.redis", "caCertificate needs an address that begins with rediss://")
    if spec.password:
        more["password"] = secrets.read(spec.password)
    try:
        return Redis.from_url(
            url,
            **more,
            # Made here: it reads a file, and would do so in the event loop.
            driver_info=DriverInfo(),
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            decode_responses=True,
            health_check_interval=15,
            # Whoever asks knows when to ask again.
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        # The address may hold a password, so it is not repeated.
        raise BadInputError("spec.redis", "holds no address of a Redis, such as redis://host:6379/0") from error
