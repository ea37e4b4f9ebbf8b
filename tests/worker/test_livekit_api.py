"""How LiveKit's clock is read off its answers."""

from email.utils import formatdate

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from voicefleet_worker.access.livekit_access import LiveKitAccess
from voicefleet_worker.serving.livekit_api import connect_with, seconds_ahead

NOW = 1_800_000_000.3


@pytest.mark.parametrize(("dated", "ahead"), [(-120, -119.8), (-2, 0), (0, 0), (1, 0), (2, 2.2), (60, 60.2)])
def test_a_date_tells_how_far_a_clock_is_ahead_and_a_second_is_nothing(dated: int, ahead: float) -> None:
    date = formatdate(int(NOW) + dated, usegmt=True)

    assert seconds_ahead(date, NOW) == pytest.approx(ahead, abs=0.01)


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 25:61:61 GMT", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_what_is_no_date_tells_nothing(date: str) -> None:
    assert seconds_ahead(date, NOW) == 0


async def test_every_answer_of_livekit_tells_the_time() -> None:
    dates = iter((-60, 0))

    async def list_rooms(_: web.Request) -> web.Response:
        date = formatdate(int(NOW) + next(dates), usegmt=True)
        return web.Response(body=b"", content_type="application/protobuf", headers={"Date": date})

    app = web.Application()
    app.router.add_post("/twirp/livekit.RoomService/ListRooms", list_rooms)
    async with TestServer(app) as server:
        access = LiveKitAccess(str(server.make_url("")), "key", "secret-of-thirty-two-characters-or-more")
        async with connect_with(access, clock=lambda: NOW)() as livekit:
            told = [livekit.ahead_seconds]
            for _ in range(2):
                assert await livekit.list_rooms() == []
                told.append(livekit.ahead_seconds)

    assert told == [0, pytest.approx(-59.8), 0]
