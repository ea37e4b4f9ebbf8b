"""Every way in which a call can end, and what that means to whoever counts calls."""

from enum import StrEnum


class Disposition(StrEnum):
    """What became of a call."""

    CALLER_HUNG_UP = "CallerHungUp"
    AGENT_HUNG_UP = "AgentHungUp"
    """The agent or the caller said that it was over, and the agent said goodbye."""
    TRANSFERRED = "Transferred"
    """The caller was put through to a person."""
    CALLER_SILENT = "CallerSilent"
    TOO_LONG = "TooLong"
    ROOM_CLOSED = "RoomClosed"
    """Somebody else closed the room."""
    NO_ANSWER = "NoAnswer"
    NOBODY_CAME = "NobodyCame"
    NOT_NEEDED = "NotNeeded"
    """The caller was gone already, or had another agent."""
    REFUSED = "Refused"
    """It brought too little to be held."""
    FAILED = "Failed"
    """Providers failed, or the call could not begin."""
    DRAINED = "Drained"
    """The worker had to go, and said goodbye."""
    CUT = "Cut"
    """The worker had to go, and nobody said goodbye."""
    CRASHED = "Crashed"

    @property
    def is_failure(self) -> bool:
        """Whether the caller was let down."""
        return self in _FAILURES


_FAILURES = frozenset({
    Disposition.REFUSED, Disposition.FAILED, Disposition.DRAINED, Disposition.CUT, Disposition.CRASHED
})  # fmt: skip


class End(StrEnum):
    """Why a call ended, in the words of logs and records."""

    CALLER_LEFT = "caller left"
    CALLER_SAID_SO = "caller said so"
    CALLER_SILENT = "caller is silent"
    AGENT_ENDED = "agent ended the call"
    TOO_LONG = "too long"
    ROOM_GONE = "the room is gone"
    ROOM_CLOSED = "room disconnected"
    ANOTHER_AGENT = "another agent is here"
    NO_CALLER = "no caller came"
    NOT_ANSWERED = "not answered"
    TRANSFERRED = "transferred"
    VARIABLES_MISSING = "variables missing"
    SECRET_MISSING = "secret missing"
    CANNOT_BEGIN = "call cannot begin"
    SESSION_FAILED = "session failed"
    PROVIDERS_FAILED = "providers failed"
    SESSION_CLOSED = "session closed"
    WORKER_LEAVES = "the worker leaves"
    CUT = "parent process shutdown"
    """As the SDK says it, and so it does the next."""
    CRASHED = "job crashed"

    @property
    def disposition(self) -> Disposition:
        """What becomes of a call that ends like this."""
        return _DISPOSITIONS[self]


_DISPOSITIONS = {
    End.CALLER_LEFT: Disposition.CALLER_HUNG_UP,
    End.CALLER_SAID_SO: Disposition.AGENT_HUNG_UP,
    End.CALLER_SILENT: Disposition.CALLER_SILENT,
    End.AGENT_ENDED: Disposition.AGENT_HUNG_UP,
    End.TOO_LONG: Disposition.TOO_LONG,
    End.ROOM_GONE: Disposition.NOT_NEEDED,
    End.ROOM_CLOSED: Disposition.ROOM_CLOSED,
    End.ANOTHER_AGENT: Disposition.NOT_NEEDED,
    End.NO_CALLER: Disposition.NOBODY_CAME,
    End.NOT_ANSWERED: Disposition.NO_ANSWER,
    End.TRANSFERRED: Disposition.TRANSFERRED,
    End.VARIABLES_MISSING: Disposition.REFUSED,
    End.SECRET_MISSING: Disposition.FAILED,
    End.CANNOT_BEGIN: Disposition.FAILED,
    End.SESSION_FAILED: Disposition.FAILED,
    End.PROVIDERS_FAILED: Disposition.FAILED,
    End.SESSION_CLOSED: Disposition.ROOM_CLOSED,
    End.WORKER_LEAVES: Disposition.DRAINED,
    End.CUT: Disposition.CUT,
    End.CRASHED: Disposition.CRASHED,
}
