"""One request at the start of a call that fills its variables; without an answer the defaults are used."""

import json
import logging
from collections.abc import Mapping

from voicefleet.api.voiceagent.agents import Lookup
from voicefleet.api.voiceagent.tools import Auth, HttpTool, Tool, ToolPolicy
from voicefleet.conversation.call_variables import as_variables
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.tools.arguments import CHECK_SECONDS, validator_of
from voicefleet_worker.tools.cut_short import cut_short
from voicefleet_worker.tools.http import HttpTools

logger = logging.getLogger("voicefleet.call")

_SHORTEST_MILLISECONDS = 100


async def find_variables(plan: DialoguePlan, secrets: SecretFiles, given: Mapping[str, str]) -> dict[str, str]:
    """Return what is known of a call: what it brings wins over what is looked up."""
    if plan.lookup is None:
        return dict(given)
    defaults = {variable.name: variable.default for variable in plan.variables if variable.default is not None}
    return {**await look_up(plan.lookup, secrets, {**defaults, **given}), **given}


async def look_up(lookup: Lookup, secrets: SecretFiles, known: Mapping[str, str]) -> dict[str, str]:
    """Return what is found out about a call, by variable; nothing if that fails, for the caller waits."""
    http = HttpTool(
        url=lookup.url,
        method="GET",
        headers=lookup.headers,
        auth=Auth(bearer=lookup.auth) if lookup.auth is not None else None,
        timeout_milliseconds=max(lookup.timeout_milliseconds, _SHORTEST_MILLISECONDS),
    )
    tools = HttpTools(secrets, ToolPolicy(), dict(known))
    try:
        answer = json.loads(await tools.call(Tool(name="lookup", description="lookup", http=http), http, {}))
        with cut_short(CHECK_SECONDS):
            validator_of(lookup.response_schema or {}).validate(answer)
    except Exception as error:  # noqa: BLE001 - whatever a service answers, the caller is there and is greeted
        logger.warning("look-up failed, and the defaults are used", extra={"problem": type(error).__name__})
        return {}
    finally:
        await tools.aclose()
    return as_variables(answer)
