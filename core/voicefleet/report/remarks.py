"""What is worth a word about some workers of a fleet, beside how the whole of it stands."""

from datetime import datetime, timedelta

from voicefleet.fleet import Fleet, Worker
from voicefleet.fleet.ended import LATELY, Failing
from voicefleet.wording import and_more, in_workers, plural

# A sink that is slow, or away for a moment, needs nobody.
_UNSENT_WORTH_A_WORD = timedelta(minutes=1)

_SHARES = {
    Failing.ONE_IN_TEN: "one in ten",
    Failing.A_THIRD: "a third",
    Failing.TWO_THIRDS: "two thirds",
    Failing.NINE_IN_TEN: "nine in ten",
}


def tell_failing(failing: Failing) -> str:
    """Say that calls fail, without figures that would change with each call."""
    if failing is Failing.FEW:
        return ""
    minutes = int(LATELY.total_seconds() / 60)
    share = f"at least {_SHARES[failing]} of those that ended in the last {minutes} minutes"
    return f"; many of its calls fail: {share}; see the workers' logs and the call records"


def tell_sending(fleet: Fleet, now: datetime) -> str:
    """Say what keeps workers that have no calls any more."""
    sending = sum(w.may_be_deleted(now) and w.waits_to_send(now) for w in fleet if not w.pod.leaving)
    return f"; {in_workers(sending, 'stay')} until the records and recordings of calls are sent" if sending else ""


def tell_unsent(fleet: Fleet, now: datetime) -> str:
    """Say that nobody takes what calls left."""
    waiting = sum((w.unsent_for(now) or timedelta()) >= _UNSENT_WORTH_A_WORD for w in fleet)
    return f"; records or recordings on {plural(waiting, 'worker')} are not taken: see their logs" if waiting else ""


def tell_doubts(fleet: Fleet, now: datetime) -> str:
    """Name the first worker whose word makes no sense, and how many more there are."""
    said = [f"{w.pod.ref.name}: {problem}" for w in fleet if (problem := _problem_of(w, now))]
    return f"; {said[0]}{and_more(len(said))}" if said else ""


def _problem_of(worker: Worker, now: datetime) -> str | None:
    if worker.pod.leaving or worker.pod.ended:
        return None
    state = worker.state(now)
    if worker.problem is None and state is not None and state.revision != worker.pod.revision:
        return "it says that it is of another revision than its pod"
    return worker.problem
