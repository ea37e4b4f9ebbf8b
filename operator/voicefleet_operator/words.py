"""What in a worker's words is news, and for whom."""

from typing import Any

from voicefleet.wire import WorkerState


def essence_of(state: WorkerState) -> tuple[Any, ...]:
    """Return what decisions hang on; ages and the sequence change all the time."""
    sessions = len(state.sessions)
    joined = (state.registered, state.livekit_away)
    return (state.revision, state.slots, sessions, joined, state.cordoned, state.draining)


def with_providers(state: WorkerState, before: WorkerState | None) -> WorkerState:
    """Keep what a worker said of its providers until it says so again: not every line speaks of them."""
    if state.providers is not None or before is None or before.providers is None or before.instance != state.instance:
        return state
    return state.model_copy(update={"providers": before.providers})


def health_of(state: WorkerState | None) -> tuple[Any, ...]:
    """Return what the status of a pool goes by at once; figures can wait."""
    words = (state.providers if state else None) or ()
    return (state and state.shares_health, *((word.name, word.state, word.cause) for word in words))
