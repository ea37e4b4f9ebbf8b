"""How a request to somebody else's service proves who it is from."""

import asyncio
from collections.abc import Mapping

import aiohttp

from voicefleet.api.voiceagent.tools import Auth
from voicefleet_worker.access.secret_files import SecretFiles


async def prove(auth: Auth | None, secrets: SecretFiles) -> Mapping[str, str]:
    """Return the headers that prove it; secrets are read now, so that a new one needs no restart."""
    if auth is None:
        return {}
    if auth.bearer is not None:
        return {"Authorization": f"Bearer {await asyncio.to_thread(secrets.read, auth.bearer)}"}
    if auth.basic is not None:
        user, _, password = (await asyncio.to_thread(secrets.read, auth.basic)).partition(":")
        return {"Authorization": aiohttp.encode_basic_auth(user, password)}
    if auth.header is not None:
        return {auth.header.name: await asyncio.to_thread(secrets.read, auth.header.secret)}
    return {}
