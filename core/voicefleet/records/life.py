"""The life of a call in named states: which may follow which, and how a call ends from each. Pure.

What the table does not hold does not take place: nobody is put through while goodbye is said, nobody is said goodbye to
while a phone rings for them, and what is over stays so.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from voicefleet.records.ends import End


class State(StrEnum):
    """What a call is doing."""

    JOINING = "Joining"
    """The agent is on its way into the room."""
    WAITING = "Waiting"
    """The agent is in the room and warm, and nobody else is there."""
    RINGING = "Ringing"
    """The caller's phone rings; who is on no phone is there at once."""
    TALKING = "Talking"
    GIVING_UP = "GivingUp"
    """Providers have failed too often; the last apology is made, and the call ends with it."""
    HOLDING = "Holding"
    """The caller is told to wait, and nobody has been asked for yet."""
    REFERRING = "Referring"
    """The caller's carrier is asked for a person, and has not answered."""
    DIALING = "Dialing"
    """A person's phone rings for the caller."""
    MEETING = "Meeting"
    """The person has picked up: caller and person hear each other, and the agent introduces them."""
    CLOSING = "Closing"
    """Goodbye is said."""
    ENDED = "Ended"


class News(StrEnum):
    """What happens to a call."""

    WARM = "Warm"
    CAME = "Came"
    PICKED_UP = "PickedUp"
    GIVE_UP = "GiveUp"
    HOLD = "Hold"
    REFER = "Refer"
    DIAL = "Dial"
    MEET = "Meet"
    BACK = "Back"
    """Nobody could be reached, and the caller is with the agent again."""
    GOODBYE = "Goodbye"
    END = "End"


TABLE = {
    (State.JOINING, News.WARM): State.WAITING,
    (State.WAITING, News.CAME): State.RINGING,
    (State.RINGING, News.PICKED_UP): State.TALKING,
    (State.TALKING, News.GIVE_UP): State.GIVING_UP,
    (State.TALKING, News.HOLD): State.HOLDING,
    (State.TALKING, News.GOODBYE): State.CLOSING,
    # A person who is asked for at the last moment needs none of the providers that have failed.
    (State.GIVING_UP, News.HOLD): State.HOLDING,
    (State.HOLDING, News.REFER): State.REFERRING,
    (State.HOLDING, News.DIAL): State.DIALING,
    (State.HOLDING, News.BACK): State.TALKING,
    (State.REFERRING, News.BACK): State.TALKING,
    (State.DIALING, News.MEET): State.MEETING,
    (State.DIALING, News.BACK): State.TALKING,
    (State.MEETING, News.BACK): State.TALKING,
} | {(state, News.END): State.ENDED for state in State if state is not State.ENDED}

_ALONE = frozenset({State.JOINING, State.WAITING, State.RINGING})
_PUTTING_THROUGH = frozenset({State.HOLDING, State.REFERRING, State.DIALING, State.MEETING})
_FREE = frozenset({State.TALKING, State.GIVING_UP})
# A caller who has been put through may be gone before we hear that it succeeded.
_CARRIER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Life:
    """How far a call is."""

    state: State = State.JOINING
    why: End | None = None
    """Why it is being ended, once it is."""

    @property
    def is_free(self) -> bool:
        """Whether the caller may ask for something: not while put through, nor once it is over."""
        return self.state in _FREE

    @property
    def is_putting_through(self) -> bool:
        """Whether the caller waits for a person, or talks to one."""
        return self.state in _PUTTING_THROUGH

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state is State.ENDED


def step(life: Life, news: News, why: End | None = None) -> Life | None:
    """Go on, or return None for what cannot be now."""
    after = TABLE.get((life.state, news))
    if after is None:
        return None
    # Who is back with the agent is talked to as before.
    return Life(after, None if news is News.BACK else why or life.why)


@dataclass(frozen=True, slots=True)
class Parting:
    """How a call is ended."""

    end: End
    hangs_up: bool = False
    """Whether nobody is to stay in the room."""
    patience_seconds: float = 0.0
    """How long whoever is putting the caller through may take to come to an end, first."""

    @property
    def is_at_once(self) -> bool:
        """Whether nobody is waited for, and nobody put out."""
        return not self.hangs_up and self.patience_seconds == 0.0


def when_the_caller_goes(life: Life, *, room_is_closed: bool) -> Parting:
    """Decide how the call ends: who hears goodbye often goes before its end, and the call was over before that.

    With the room everybody goes who was in it or dialed into it, and it was nobody of them who ended the call.
    """
    if room_is_closed:
        return Parting(life.why or End.ROOM_CLOSED)
    match life.state:
        case State.DIALING | State.MEETING:
            # Whoever is dialed would pick up for nobody.
            return Parting(End.CALLER_LEFT, hangs_up=True)
        case State.REFERRING:
            return Parting(End.CALLER_LEFT, patience_seconds=_CARRIER_SECONDS)
        case _:
            return Parting(life.why or End.CALLER_LEFT)


def when_the_session_closes(life: Life, *, has_failed: bool, worker_leaves: bool) -> Parting:
    """Decide how the call ends: a caller who is being put through may yet reach a person, which takes no agent.

    A session that has not failed is closed by the SDK with its job: by LiveKit, or by a worker that is out of time.
    """
    if life.state is State.MEETING:
        return Parting(End.TRANSFERRED)
    if has_failed:
        return when_it_cannot_go_on(End.SESSION_FAILED)
    return Parting(life.why or (End.CUT if worker_leaves else End.SESSION_CLOSED))


def when_the_job_ends(reason: str, *, worker_leaves: bool) -> str:
    """Decide why a call ended that has not said so itself; else the SDK's word for it counts.

    LiveKit ends the job when somebody deletes the room, and the SDK has the same word for that as for a worker that
    ends its calls.
    """
    return End.ROOM_CLOSED if reason == End.CUT and not worker_leaves else reason


def when_it_cannot_go_on(why: End) -> Parting:
    """Decide how a call ends that has lost its providers or its session."""
    return Parting(why, hangs_up=True, patience_seconds=math.inf)


def when_the_worker_leaves(life: Life) -> Parting | None:
    """Decide how the call ends, or return None if there is somebody to whom goodbye can be said."""
    return Parting(End.WORKER_LEAVES, hangs_up=True) if life.state in _ALONE else None
