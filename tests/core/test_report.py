"""What people read at three in the morning."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from tests.support.manifests import minimal, sample
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.status import ScaleDecision, VoiceAgentStatus
from voicefleet.autoscaling.load import LOADS_IGNORED
from voicefleet.fleet import Fleet, Trouble, Worker
from voicefleet.fleet.pauses import look_again_after
from voicefleet.fleet.render import find_obstacle, render_agent
from voicefleet.fleet.steps import AgentSeen, plan_agent
from voicefleet.names import FINALIZER, Reason
from voicefleet.report.agent import report_agent, report_invalid_agent
from voicefleet.report.events import notes_of

NONE = VoiceAgentStatus()


def agent(**spec: object) -> VoiceAgent:
    manifest = minimal("VoiceAgent")
    manifest["metadata"] |= {"name": "desk", "namespace": "voice", "uid": "uid", "generation": 3}
    manifest["spec"] |= spec
    return VoiceAgent.model_validate(manifest)


def pool(namespace: str = "voice") -> ProviderPool:
    manifest = sample("providerpool")
    manifest["metadata"] |= {"name": "pool", "namespace": namespace, "generation": 1}
    return ProviderPool.model_validate(manifest)


def observe(of: VoiceAgent, seen: Fleet, on: ProviderPool | None, *, allowed: bool = True) -> AgentSeen:
    obstacle = find_obstacle(of, on, pool_is_allowed=allowed)
    rendered = None
    if on is not None and obstacle is None:
        rendered = render_agent(of, on, default_image="w", operator_namespace="o", control_key_id="k")
    if isinstance(rendered, Trouble):
        obstacle, rendered = rendered, None
    return AgentSeen(of, seen, make.lessons(), "k", on, rendered, obstacle)


def revision() -> str:
    steps = plan_agent(observe(agent(), fleet(), pool()), now=NOW)
    assert steps.revision is not None
    return steps.revision


def report(
    seen: Fleet,
    before: VoiceAgentStatus = NONE,
    *,
    after: timedelta = timedelta(),
    of: VoiceAgent | None = None,
    on: ProviderPool | None = None,
    allowed: bool = True,
) -> VoiceAgentStatus:
    everything = replace(observe(of or agent(), seen, on, allowed=allowed), before=before)
    steps = plan_agent(everything, now=NOW + after)
    return report_agent(everything, steps, before, now=NOW + after)


def said(status: VoiceAgentStatus) -> dict[str, str]:
    return {condition.type: f"{condition.status} {condition.reason}" for condition in status.conditions}


def test_a_new_agent_is_not_ready_and_says_that_workers_start() -> None:
    status = report(fleet(), on=pool())

    assert said(status) == {
        "Ready": "False WorkersStarting",
        "Reconciling": "True WorkersStarting",
        "Stalled": "False AsWanted",
    }


def test_an_agent_whose_workers_take_calls_is_ready() -> None:
    name = f"desk-{revision()}"
    status = report(fleet(make.busy(f"{name}-0", calls=7)), on=pool())

    assert said(status) == {"Ready": "True Ready", "Reconciling": "False AsWanted", "Stalled": "False AsWanted"}
    assert (status.summary, status.calls, status.free_slots, status.slots) == ("1 worker, 7 calls", 7, 5, 12)
    assert status.selector == "app.kubernetes.io/managed-by=voicefleet,voicefleet.dev/agent=desk"
    assert all(condition.observed_generation == 3 for condition in status.conditions)


def test_a_full_worker_takes_calls_and_has_no_room() -> None:
    status = report(fleet(make.busy(f"desk-{revision()}-0", calls=12)), on=pool())

    assert (status.workers.full, status.workers.ready, status.free_slots) == (1, 0, 0)
    assert said(status)["Ready"] == "True Ready"


def test_of_a_silent_worker_nothing_is_claimed() -> None:
    status = report(fleet(make.silent(f"desk-{revision()}-0")), on=pool())

    assert said(status)["Ready"] == "Unknown LoadUnknown"
    assert (status.workers.silent, status.free_slots, status.slots) == (1, 0, 0)
    assert "network policies" in status.conditions[0].message


def test_of_a_silent_worker_that_is_not_understood_it_is_said_why() -> None:
    answers = "it answers 'HTTP/1.1 401 Unauthorized'"
    worker = replace(make.silent(f"desk-{revision()}-0"), problem=answers)

    message = report(fleet(worker), on=pool()).conditions[0].message

    assert message.endswith(f"; desk-{revision()}-0: {answers}")
    assert "network policies" not in message


def test_a_missing_pool_is_named_with_what_to_do() -> None:
    status = report(fleet(make.busy("desk-old-0")), on=None)

    assert said(status) == {
        "Ready": "False PoolMissing",
        "Reconciling": "False AsWanted",
        "Stalled": "True PoolMissing",
    }
    assert status.conditions[0].message == (
        "ProviderPool 'pool' does not exist in namespace 'voice', or its spec is not valid: "
        "create or correct it, or correct spec.providerPoolRef. Workers that run go on as they are."
    )


def test_a_pool_that_does_not_allow_the_namespace_is_named_with_whom_to_ask() -> None:
    status = report(
        fleet(), on=pool("shared"), of=agent(providerPoolRef={"name": "pool", "namespace": "shared"}), allowed=False
    )

    assert said(status)["Stalled"] == "True PoolForbidden"
    assert "allowedNamespaces" in status.conditions[0].message


@pytest.mark.parametrize("reason", [Reason.SECRET_MISSING, Reason.IMAGE_PULL])
def test_what_only_a_person_can_mend_is_stalled(reason: Reason) -> None:
    status = report(fleet(make.stuck(f"desk-{revision()}-0", reason)), on=pool())

    assert said(status)["Ready"] == f"False {reason}"
    assert said(status)["Stalled"] == f"True {reason}"
    assert said(status)["Reconciling"] == f"False {reason}"
    assert status.workers.failed == 1


def test_a_worker_without_a_node_is_starting_and_not_stalled() -> None:
    status = report(fleet(make.pending(f"desk-{revision()}-0")), on=pool())

    assert said(status)["Stalled"] == "False AsWanted"
    assert status.workers.starting == 1


NO_ROOM = Trouble(Reason.UNSCHEDULABLE, "no node takes a worker: 0/5 nodes are available: 5 Insufficient cpu.")


def test_what_keeps_some_workers_from_coming_is_told_while_others_take_calls() -> None:
    name = f"desk-{revision()}"
    waiting = make.pending(f"{name}-1")
    waiting = replace(waiting, pod=replace(waiting.pod, trouble=NO_ROOM))
    crashing = make.stuck(f"{name}-2", Reason.POD_FAILED)

    few = report(fleet(make.busy(f"{name}-0"), waiting), on=pool(), of=agent(scaling={"min": 2}))
    fewer = report(fleet(make.busy(f"{name}-0"), crashing), on=pool(), of=agent(scaling={"min": 2}))
    both = report(fleet(make.busy("desk-old-0"), waiting, crashing), on=pool(), of=agent(scaling={"min": 3}))

    assert said(few)["Ready"] == "True Ready"
    assert few.conditions[1].message == f"1 worker starting; {NO_ROOM.message}"
    assert fewer.conditions[1].message == "1 worker cannot work; it is stuck: PodFailed"
    assert both.conditions[1].message.endswith(f"; {NO_ROOM.message} (and 1 more)")


def test_a_rollout_is_told_as_long_as_old_workers_live() -> None:
    status = report(fleet(make.cordoned("desk-old-0", calls=1), make.idle(f"desk-{revision()}-0")), on=pool())

    assert said(status)["Reconciling"] == "True RollingOut"
    assert said(status)["Ready"] == "True Ready"
    assert status.revision == revision()


def test_a_template_that_undo_keeps_back_is_told_of_where_all_seems_well() -> None:
    first = revision()
    seen = fleet(make.idle(f"desk-{first}-0"))
    before = report(seen, on=pool())
    newer = agent(agents=[{"name": "desk", "instructions": "Be brief."}], rollout={"undoToRevision": first})

    status = report(seen, before, of=newer, on=pool())

    assert said(status)["Reconciling"] == "False AsWanted"
    (words,) = (condition.message for condition in status.conditions if condition.type == "Reconciling")
    assert f"undoToRevision keeps revision {first}" in words


def test_a_revision_whose_files_are_gone_is_not_waited_for_in_silence() -> None:
    first = revision()
    before = report(fleet(make.idle(f"desk-{first}-0")), on=pool())
    newer = agent(agents=[{"name": "desk", "instructions": "Be brief."}], rollout={"undoToRevision": first})

    status = report(fleet(), before, of=newer, on=pool())

    assert said(status)["Stalled"] == "True RolloutStalled"
    (words,) = (condition.message for condition in status.conditions if condition.type == "Stalled")
    assert words.startswith(f"no worker of revision {first} can be made: its ConfigMap 'desk-{first}' is gone")


def test_a_suspended_agent_says_so() -> None:
    assert said(report(fleet(), on=pool(), of=agent(suspend=True)))["Ready"] == "False Suspended"


@pytest.mark.parametrize(
    ("worker", "words"),
    [
        (make.busy("desk-r-0", calls=2), "waits for 2 calls to end; to end them"),
        (make.silent("desk-r-0"), "waits for 1 worker that cannot be heard; to end them"),
        (make.starting("desk-r-0"), "waits for 1 worker to come up and to be closed; to end them"),
        (make.leaving(make.idle("desk-r-0")), "waits for its workers to go"),
    ],
)
def test_an_agent_that_goes_names_what_holds_it(worker: Worker, words: str) -> None:
    going = agent()
    metadata = {"deletion_timestamp": "2026-03-02T12:00:00Z", "finalizers": (FINALIZER,)}
    going = going.model_copy(update={"metadata": going.metadata.model_copy(update=metadata)})

    status = report(fleet(worker), of=going, on=pool())

    assert said(status)["Reconciling"] == "True Deleting"
    assert status.conditions[0].message.startswith(f"the VoiceAgent is being deleted and {words}")


def test_the_same_twice_is_the_same_status() -> None:
    seen = fleet(make.busy(f"desk-{revision()}-0"))
    first = report(seen, on=pool())

    assert report(seen, first, after=timedelta(seconds=5), on=pool()) == first


def test_the_time_of_a_condition_changes_with_its_status_only() -> None:
    first = report(fleet(), on=None)
    reworded = report(fleet(), first, after=timedelta(seconds=60), on=pool("other"), allowed=False)
    mended = report(fleet(make.idle(f"desk-{revision()}-0")), first, after=timedelta(seconds=10), on=pool())

    assert reworded.conditions[0].last_transition_time == "2026-03-02T12:00:00Z"
    assert mended.conditions[0].last_transition_time == "2026-03-02T12:00:10Z"
    assert mended.conditions[1].last_transition_time == "2026-03-02T12:00:00Z"


def test_a_spec_that_cannot_be_read_changes_nothing_but_the_conditions() -> None:
    seen = fleet(make.busy(f"desk-{revision()}-0", calls=2))
    before = report(seen, on=pool())

    status = report_invalid_agent(before, seen, "spec.agents is required", generation=4, now=NOW)

    assert said(status)["Stalled"] == "True InvalidSpec"
    assert (status.calls, status.observed_generation) == (2, 4)
    assert status.revision == before.revision


def test_calls_are_counted_even_if_the_spec_cannot_be_read() -> None:
    before = report(fleet(make.busy(f"desk-{revision()}-0", calls=2)), on=pool())

    status = report_invalid_agent(before, fleet(make.busy("desk-r-0", calls=5)), "wrong", generation=4, now=NOW)

    assert (status.calls, status.free_slots) == (5, 7)


def test_workers_that_stay_only_because_others_are_silent_are_not_told_as_wanted() -> None:
    name = f"desk-{revision()}"
    status = report(fleet(make.idle(f"{name}-0"), make.idle(f"{name}-1"), make.silent(f"{name}-2")), on=pool())

    assert said(status)["Reconciling"] == "True LoadUnknown"
    assert "1 worker says nothing and may hold calls" in status.conditions[1].message


def test_what_the_cluster_refuses_is_told_while_workers_go_on() -> None:
    seen = observe(agent(), fleet(make.idle(f"desk-{revision()}-0")), pool())
    steps = plan_agent(seen, now=NOW)
    refused = Trouble(Reason.REFUSED, "exceeded quota")

    status = report_agent(seen, steps, NONE, now=NOW, refused=refused)

    assert said(status)["Ready"] == "True Ready"
    assert said(status)["Stalled"] == "True RefusedByCluster"


def test_a_field_that_does_nothing_yet_is_named() -> None:
    wishes = agent(recording={"enabled": True, "retentionDays": 9}, memory={"caller": {"enabled": True}})

    status = report(fleet(make.idle("desk-new-0")), of=wishes, on=pool())

    assert "this version does not act on spec.memory, spec.recording.retentionDays" in status.conditions[0].message


def test_defaults_that_the_server_wrote_are_no_wishes() -> None:
    status = report(fleet(make.idle("desk-new-0")), of=agent(scaling={"holdSeconds": 3}, rollout={}), on=pool())

    assert "does not act on" not in status.conditions[0].message


def test_what_workers_would_refuse_is_said_before_they_start() -> None:
    spec = {"voice": {"realtime": {}}, "conversation": {"interruption": {"enabled": False}}}
    status = report(fleet(), of=agent(**spec), on=pool())

    assert said(status)["Stalled"] == "True InvalidSpec"
    assert status.conditions[0].message.startswith("spec.conversation.interruption.enabled: ")


def test_a_pool_without_a_job_that_the_agent_needs_is_named_with_its_field() -> None:
    silent = pool()
    silent = silent.model_copy(update={"spec": silent.spec.model_copy(update={"providers": silent.spec.providers[:2]})})

    status = report(fleet(), of=agent(), on=silent)

    assert status.conditions[0].message == "spec.providers of ProviderPool 'pool': no enabled provider has role Tts."


def test_workers_that_stay_to_send_are_spoken_of_and_so_is_a_sink_that_takes_nothing() -> None:
    name = f"desk-{revision()}"
    status = report(fleet(make.busy(f"{name}-0"), make.sending(f"{name}-1"), make.sending(f"{name}-2")), on=pool())
    messages = {condition.type: condition.message for condition in status.conditions}

    assert messages["Ready"] == "1 worker takes calls; records or recordings on 2 workers are not taken: see their logs"
    assert messages["Reconciling"] == (
        "2 workers leave after the last call; 2 workers stay until the records and recordings of calls are sent"
    )


def test_a_record_on_its_way_is_nothing_to_speak_of() -> None:
    name = f"desk-{revision()}"
    status = report(fleet(make.heard(f"{name}-0", make.state(unsentForSeconds=58))), on=pool())

    assert status.conditions[0].message == "1 worker takes calls"


def test_an_agent_that_is_deleted_says_that_it_waits_for_what_is_to_be_sent() -> None:
    known = agent()
    leaving = known.metadata.model_copy(update={"deletion_timestamp": "2026-03-02"})
    going = known.model_copy(update={"metadata": leaving})
    status = report(fleet(make.sending(f"desk-{revision()}-0")), of=going, on=pool())

    assert status.conditions[0].message == (
        "the VoiceAgent is being deleted and waits for its workers to go"
        "; 1 worker stays until the records and recordings of calls are sent"
    )


BY_THE_DAY = {"scaling": {"min": 2, "budget": {"maxWorkerHoursPerDay": 24}}}


def test_a_fleet_whose_budget_is_used_up_is_looked_at_again_though_nothing_happens_to_it() -> None:
    """At midnight there is a new budget, and nobody else who would say so."""
    seen = replace(observe(agent(**BY_THE_DAY), fleet(), pool()), worker_hours=24.0)

    steps = plan_agent(seen, now=NOW)

    assert steps.size is not None
    assert (steps.size.desired, steps.size.limit) == (0, "Budget")
    assert look_again_after(seen, steps, now=NOW) == timedelta(seconds=30)


def test_the_worker_hours_of_a_budget_for_the_day_are_told_and_others_are_not() -> None:
    seen = replace(observe(agent(**BY_THE_DAY), fleet(), pool()), worker_hours=17.9)
    told = report_agent(seen, plan_agent(seen, now=NOW), NONE, now=NOW).worker_hours

    assert told is not None
    assert (told.day, told.hours) == ("2026-03-02", 17)
    assert report(fleet()).worker_hours is None


def test_reasons_are_told_anew_with_other_news_and_not_for_themselves() -> None:
    """A fleet at its maximum loses more and more calls, and the share that was told first must not stand there."""
    desk = agent()
    two = [f"desk-{revision()}-{number}" for number in range(2)]

    def say(calls: int, seconds: int, before: VoiceAgentStatus) -> tuple[VoiceAgentStatus, ScaleDecision]:
        workers = fleet(*(make.busy(name, calls=calls) for name in two))
        said = report(workers, before, of=desk, on=pool(), after=timedelta(seconds=seconds))
        assert said.scale is not None
        return said, said.scale

    few, scale_of_few = say(7, 0, NONE)
    many, scale_of_many = say(10, 4, few)

    assert scale_of_many == scale_of_few.model_copy(update={"reasons": scale_of_many.reasons})
    assert scale_of_many.reasons[0].startswith("20 calls now")
    old_words = many.model_copy(update={"scale": scale_of_many.model_copy(update={"reasons": ("as it was",)})})
    assert say(10, 4, old_words)[0] == old_words
    assert say(11, 4, old_words)[1].reasons[0].startswith("22 calls now")


def test_a_fleet_that_costs_millions_of_a_small_currency_says_so() -> None:
    """What the status cannot hold would end each turn with an error, after which the next is later and later."""
    budget = {"maxCostPerHour": 1_000_000, "workerCostPerHour": 1_000_000}
    two = fleet(*(make.busy(f"desk-{revision()}-{number}") for number in range(2)))

    assert report(two, of=agent(scaling={"budget": budget}), on=pool()).cost_per_hour == 2_000_000


AWAY = [
    pytest.param("Refuses", "LiveKitRefuses", "True LiveKitRefuses", id="a key that LiveKit refuses"),
    pytest.param("Silent", "LiveKitSilent", "False AsWanted", id="a LiveKit that is not reached"),
]


@pytest.mark.parametrize(("away", "reason", "stalled"), AWAY)
def test_workers_that_cannot_join_livekit_do_not_pass_for_starting(away: str, reason: str, stalled: str) -> None:
    name = f"desk-{revision()}"
    lost = make.heard(f"{name}-0", make.state(registered=False, livekit_away=away))
    status = report(fleet(lost, make.pending(f"{name}-1")), on=pool())

    assert said(status)["Ready"] == f"False {reason}"
    assert said(status)["Stalled"] == stalled
    assert "wss://livekit.example.com" in status.conditions[0].message
    assert "ProviderPool voice/pool" in status.conditions[0].message
    assert status.summary.endswith(reason)


def test_a_refused_key_of_livekit_is_named_by_its_secret() -> None:
    lost = make.heard(f"desk-{revision()}-0", make.state(registered=False, livekit_away="Refuses"))
    message = report(fleet(lost), on=pool()).conditions[0].message

    assert "Secret voice/livekit, key api-key and Secret voice/livekit, key api-secret" in message


def test_one_worker_of_two_that_cannot_join_livekit_is_told_of_beside_the_one_that_works() -> None:
    name = f"desk-{revision()}"
    lost = make.heard(f"{name}-1", make.state(registered=False, livekit_away="Silent"))
    status = report(fleet(make.idle(f"{name}-0"), lost), on=pool())

    assert said(status)["Ready"] == "True Ready"
    assert status.conditions[0].message == "1 worker takes calls, 1 cannot join LiveKit"


def test_what_keeps_a_fleet_from_working_stands_in_its_one_line() -> None:
    trouble = Trouble(Reason.UNSCHEDULABLE, "no node takes a worker")
    waiting = make.pending(f"desk-{revision()}-0")
    status = report(fleet(replace(waiting, pod=replace(waiting.pod, trouble=trouble))), on=pool())

    assert status.summary == "1 worker, 0 calls, 1 starting, Unschedulable"


def test_a_first_revision_is_not_told_to_be_rolled_out_before_any_worker_is_there() -> None:
    status = report(fleet(make.stuck(f"desk-{revision()}-0")), on=pool())

    assert [note.reason for note in notes_of(NONE, status)] == ["ImagePullFailed", "Scaled"]


def test_the_end_of_a_change_is_told() -> None:
    name = f"desk-{revision()}-0"
    during = report(fleet(make.idle("desk-old-0"), make.idle(name)), on=pool())
    after = report(fleet(make.idle(name)), during, on=pool())

    assert "RolloutComplete" in [note.reason for note in notes_of(during, after)]


def test_a_worker_that_is_too_small_for_its_calls_is_told_of_while_all_seems_well() -> None:
    small = agent(worker={"resources": {"memory": "512Mi"}})
    status = report(fleet(make.idle("desk-old-0")), on=pool(), of=small)

    assert said(status)["Ready"] == "True Ready"
    assert status.conditions[0].message.startswith("1 worker takes calls; 12 calls at once take some 1424 MiB")


def test_that_loads_are_ignored_is_said_while_it_is_so_even_if_the_size_never_changes() -> None:
    idle = make.idle(f"desk-{revision()}-0")
    status, told = NONE, []
    for second, ignored in enumerate((False, True, True, False)):
        now = NOW + timedelta(seconds=second)
        seen = replace(observe(agent(), fleet(idle), pool()), lessons=make.lessons(loads_ignored=ignored))
        status = report_agent(seen, plan_agent(seen, now=now), status, now=now)
        assert status.scale is not None
        told.append((LOADS_IGNORED in status.scale.reasons, status.scale.desired, status.scale.at))

    since = told[0][2]
    assert told == [(False, 1, since), (True, 1, since), (True, 1, since), (False, 1, since)]


def test_what_keeps_a_worker_from_starting_is_told_without_what_would_come_after() -> None:
    small = agent(worker={"resources": {"memory": "512Mi"}})
    status = report(fleet(make.stuck("desk-old-0")), on=pool(), of=small)

    assert status.conditions[0].message == "it is stuck: ImagePullFailed"
