"""What in a worker's words is news, and for whom."""

from typing import Any

from voicefleet.names import KUBELET_PERIOD_SECONDS
from voicefleet.wire import WorkerState, refusals_of


def essence_of(state: WorkerState) -> tuple[Any, ...]:
    """Return what decisions hang on; ages and the sequence change all the time."""
    sessions = len(state.sessions)
    joined = (state.registered, state.livekit_away)
    # Only one that could go is kept by what it has yet to send; the others send something after every call.
    is_kept = state.cordoned and state.unsent_for_seconds is not None
    # Later its neighbours' kubelets have looked by themselves.
    ago = state.secrets_changed_seconds_ago
    has_new_secrets = ago is not None and ago <= KUBELET_PERIOD_SECONDS
    keys = (has_new_secrets, refusals_of(state))
    return (state.revision, state.slots, sessions, joined, state.cordoned, state.draining, is_kept, *keys)


def with_providers(state: WorkerState, before: WorkerState | None) -> WorkerState:
    """Keep what a worker said of its providers until it says so again: not every line speaks of them."""
    if state.providers is not None or before is None or before.providers is None or before.instance != state.instance:
        return state
    return state.model_copy(update={"providers": before.providers})


def health_of(state: WorkerState | None) -> tuple[Any, ...]:
    """Return what the status of a pool goes by at once; figures can wait."""
    words = (state.providers if state else None) or ()
    return (state and state.shares_health, *((word.name, word.state, word.cause) for word in words))
