"""The operator's own key, from which the tokens of all control ports follow.

It is the one Secret that the operator may read, by name, in its own namespace. It makes the key itself if there is
none: a chart that made one at random would make another at each upgrade, and lock the operator out of every worker.
"""

import asyncio
import base64
import logging
import secrets
from http import HTTPStatus
from pathlib import Path

from voicefleet_operator.apiserver.kube import SECRETS, Kube
from voicefleet_operator.errors import ApiError, ConfigError

logger = logging.getLogger(__name__)

_KEY = "key"
_KEY_BYTES = 32
_AGAIN_SECONDS = 2.0


def read_key_file(path: Path) -> bytes:
    """Return the key that somebody mounted."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"--control-key-file {path}: {error.strerror}") from error
    if len(key) < _KEY_BYTES:
        raise ConfigError(f"--control-key-file {path}: the key has {len(key)} bytes, it needs {_KEY_BYTES} or more")
    return key


async def key_when_answered(kube: Kube, namespace: str, name: str) -> bytes:
    """Return the key as soon as the apiserver answers.

    Whoever ended at each try would be started anew after ever longer pauses, and be late when it answers again.
    """
    while True:
        try:
            return await ensure_key(kube, namespace, name)
        except ApiError as error:
            if not error.is_for_now:
                raise
            logger.warning("the apiserver does not answer yet", extra={"status": error.status, "error": str(error)})
        await asyncio.sleep(_AGAIN_SECONDS)


async def ensure_key(kube: Kube, namespace: str, name: str) -> bytes:
    """Return the key of a Secret, which is made if it does not exist; of two who make it the first one wins."""
    try:
        return await _read(kube, namespace, name)
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "immutable": True,
        "stringData": {_KEY: secrets.token_hex(_KEY_BYTES)},
    }
    try:
        await kube.post(SECRETS.path(namespace), body)
    except ApiError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
    return await _read(kube, namespace, name)


async def _read(kube: Kube, namespace: str, name: str) -> bytes:
    secret = await kube.get(SECRETS.path(namespace, name))
    key = base64.b64decode(secret.get("data", {}).get(_KEY, ""))
    if len(key) < _KEY_BYTES:
        raise ConfigError(f"Secret {namespace}/{name} has no usable '{_KEY}': delete it, and a new one is made")
    return key
