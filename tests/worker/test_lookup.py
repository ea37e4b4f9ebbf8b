"""What is found out about a call before it begins, and that it begins all the same if nothing is."""

from pathlib import Path
from typing import Any

import pytest

from tests.worker.tools.test_http import Answer, Service, broken, service, slow
from voicefleet.api.voiceagent.agents import Lookup
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.calls.lookup import look_up

__all__ = ["service"]

SCHEMA = {"type": "object", "required": ["tier"], "properties": {"tier": {"enum": ["gold", "plain"]}}}


def answering(body: object) -> Answer:
    async def answer(_: Any) -> Any:
        from aiohttp import web  # noqa: PLC0415 - like the other answers

        return web.json_response(body)

    return answer


async def found(service: Service, folder: Path, *, milliseconds: int = 3_000, **fields: Any) -> dict[str, str]:
    """Look a caller up; only where nobody answers is the time short."""
    lookup = Lookup(url=f"{service.url}/callers?number={{{{number}}}}", timeout_milliseconds=milliseconds, **fields)
    return await look_up(lookup, SecretFiles(folder), {"number": "+49 30"})


async def test_what_is_found_fills_variables(service: Service, tmp_path: Path) -> None:
    service.answers = [answering({"tier": "gold", "visits": 3, "vip": True, "more": {"a": 1}, "none": None})]

    assert await found(service, tmp_path, response_schema=SCHEMA) == {"tier": "gold", "visits": "3", "vip": "true"}


async def nested(_: Any) -> Any:
    from aiohttp import web  # noqa: PLC0415 - like the other answers

    return web.Response(text="[" * 60_000)


@pytest.mark.parametrize(
    "answer",
    [broken, slow, answering({"tier": "lead"}), answering(["gold"]), nested],
    ids=["broken", "slow", "another schema", "no object", "deeper than anybody reads"],
)
async def test_without_an_answer_that_fits_there_is_nothing(service: Service, tmp_path: Path, answer: Answer) -> None:
    service.answers = [answer]

    assert await found(service, tmp_path, milliseconds=300, response_schema=SCHEMA) == {}


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "{url}/schema.json"}], ids=["no schema", "elsewhere"])
async def test_a_schema_that_cannot_be_used_costs_no_call_and_is_fetched_from_nowhere(
    service: Service, tmp_path: Path, schema: dict[str, str]
) -> None:
    service.answers = [answering({"tier": "gold"})]

    there = {name: value.format(url=service.url) for name, value in schema.items()}
    assert await found(service, tmp_path, response_schema=there) == {}
    assert len(service.asked) == 1
