"""What a VoiceAgent says of itself while it takes calls, and many of them fail."""

from dataclasses import replace
from datetime import timedelta

from tests.core.test_report import NONE, agent, observe, pool, revision, said
from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet
from voicefleet.fleet.ended import EndedLately, Failing
from voicefleet.fleet.pauses import look_again_after
from voicefleet.fleet.steps import plan_agent
from voicefleet.names import SILENT_AFTER_SECONDS
from voicefleet.report.agent import report_agent
from voicefleet.report.events import notes_of

WORDS = (
    "; many of its calls fail: at least one in ten of those that ended in the last 10 minutes"
    "; see the workers' logs and the call records"
)


def report(
    seen: Fleet, failing: Failing, before: VoiceAgentStatus = NONE, *, of: VoiceAgent | None = None
) -> VoiceAgentStatus:
    everything = replace(observe(of or agent(), seen, pool()), before=before, ended_lately=EndedLately(failing))
    return report_agent(everything, plan_agent(everything, now=NOW), before, now=NOW)


def busy() -> Fleet:
    return fleet(make.busy(f"desk-{revision()}-0", calls=7))


def test_an_agent_whose_calls_fail_is_ready_and_says_so() -> None:
    status = report(busy(), Failing.ONE_IN_TEN)

    assert said(status) == {"Ready": "True CallsFail", "Reconciling": "False AsWanted", "Stalled": "False AsWanted"}
    assert status.conditions[0].message.startswith("1 worker takes calls")
    assert status.conditions[0].message.endswith(WORDS)
    assert status.summary == "1 worker, 7 calls, calls fail"


def test_an_agent_of_whose_calls_few_fail_says_nothing_of_it() -> None:
    status = report(busy(), Failing.FEW)

    assert said(status)["Ready"] == "True Ready"
    assert "fail" not in status.conditions[0].message + status.summary


def test_each_share_has_its_own_words() -> None:
    messages = {report(busy(), share).conditions[0].message for share in Failing}

    assert len(messages) == len(Failing)


def test_it_is_told_once_that_calls_fail_and_once_that_they_do_no_longer() -> None:
    well = report(busy(), Failing.FEW)
    failing = report(busy(), Failing.ONE_IN_TEN, well)
    worse = report(busy(), Failing.NINE_IN_TEN, failing)
    again = report(busy(), Failing.FEW, worse)

    (began,) = notes_of(well, failing)
    assert (began.kind, began.reason) == ("Warning", "CallsFail")
    assert began.message.endswith(WORDS)
    assert notes_of(failing, worse) == ()
    assert [(note.kind, note.reason) for note in notes_of(worse, again)] == [("Normal", "Ready")]


def test_a_fleet_that_sleeps_still_says_that_its_last_calls_failed() -> None:
    asleep = agent(scaling={"mode": "External", "scaleToZero": True}, replicas=0)

    status = report(fleet(), Failing.ONE_IN_TEN, of=asleep)

    assert said(status)["Ready"] == "True CallsFail"
    asked = "no worker takes calls: spec.replicas asks for none, and whoever sets it starts the next one"
    assert status.conditions[0].message == asked + WORDS
    assert status.summary == "0 workers, 0 calls, calls fail"


def test_what_keeps_calls_away_is_not_mixed_with_those_that_failed_before() -> None:
    status = report(fleet(make.pending(f"desk-{revision()}-0")), Failing.NINE_IN_TEN)

    assert said(status)["Ready"] == "False WorkersStarting"
    assert "calls fail" not in status.conditions[0].message
    assert status.summary == "1 worker, 0 calls, calls fail, 1 starting"


def test_calls_that_are_cut_with_their_agent_are_no_news() -> None:
    metadata = agent().metadata.model_copy(
        update={"deletion_timestamp": NOW.isoformat(), "finalizers": ("voicefleet.dev/drain",)}
    )
    status = report(busy(), Failing.NINE_IN_TEN, of=agent().model_copy(update={"metadata": metadata}))

    assert "fail" not in status.conditions[0].message + status.summary


def test_calls_that_fail_change_nothing_but_words() -> None:
    seen = observe(agent(), busy(), pool())
    failing = replace(seen, ended_lately=EndedLately(Failing.NINE_IN_TEN))

    assert plan_agent(seen, now=NOW) == plan_agent(failing, now=NOW)


def test_there_is_a_look_when_time_alone_may_change_what_is_said() -> None:
    quiet = observe(agent(scaling={"mode": "External"}, replicas=0), fleet(), pool())
    failing = replace(quiet, ended_lately=EndedLately(Failing.ONE_IN_TEN, timedelta(seconds=17)))
    steps = plan_agent(quiet, now=NOW)

    assert look_again_after(quiet, steps, now=NOW) is None
    assert look_again_after(failing, steps, now=NOW) == timedelta(seconds=17)


def test_while_there_are_calls_no_look_is_long_ago_whoever_decides_the_size() -> None:
    """A call is dated by the look before it ended; one of half an hour, with nothing else to see, must count."""
    seen = observe(agent(scaling={"mode": "External"}, replicas=1), busy(), pool())

    wait = look_again_after(seen, plan_agent(seen, now=NOW), now=NOW)

    assert wait is not None
    assert wait <= timedelta(seconds=SILENT_AFTER_SECONDS + 1)
