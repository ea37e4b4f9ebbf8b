"""Getting into a room: tokens and dispatches."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from livekit import api


class Dispatch(StrEnum):
    """How the agent is asked into the room."""

    TOKEN = "token"
    """By the caller's own token, when the room is made."""
    EXPLICIT = "explicit"
    """By the dispatch API, before the caller comes: how a dialer does it."""
    NONE = "none"
    """Somebody else does it, such as a SIP dispatch rule."""


@dataclass(frozen=True, slots=True)
class Line:
    """A LiveKit server and the key to it."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)

    @property
    def http_url(self) -> str:
        return self.url.replace("ws", "http", 1) if self.url.startswith("ws") else self.url


@dataclass(frozen=True, slots=True)
class Seat:
    """Who joins which room, and whom they want to speak to."""

    room: str
    identity: str
    agent: str
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    sip: bool = False

    @classmethod
    def made_up(cls, agent: str, *, room: str = "", identity: str = "") -> "Seat":
        """Fill in what nobody cares about."""
        return cls(
            room=room or f"call-{secrets.token_hex(4)}",
            identity=identity or f"caller-{secrets.token_hex(4)}",
            agent=agent,
        )


def build_token(line: Line, seat: Seat, dispatch: Dispatch) -> str:
    """Return the token to join with."""
    token = (
        api.AccessToken(line.api_key, line.api_secret)
        .with_identity(seat.identity)
        .with_kind("sip" if seat.sip else "standard")
        .with_attributes(dict(seat.attributes))
        .with_grants(api.VideoGrants(room_join=True, room=seat.room))
    )
    if dispatch is Dispatch.TOKEN:
        wanted = api.RoomAgentDispatch(agent_name=seat.agent, metadata=seat.metadata)
        token = token.with_room_config(api.RoomConfiguration(agents=[wanted]))
    return str(token.to_jwt())


async def dispatch_agent(line: Line, seat: Seat) -> str:
    """Ask the agent into the room by the API and return the dispatch's id."""
    async with api.LiveKitAPI(line.http_url, line.api_key, line.api_secret) as livekit:
        request = api.CreateAgentDispatchRequest(agent_name=seat.agent, room=seat.room, metadata=seat.metadata)
        made = await livekit.agent_dispatch.create_dispatch(request)
    return str(made.id)
