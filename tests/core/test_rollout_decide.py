"""Where new calls go, told as stories; every look of a story is made again after a restart and must say the same."""

from datetime import timedelta

from tests.support.rollout import ANALYSIS, NOW, Story, canary, figures, well
from voicefleet.api.voiceagent.rollout import Rollout
from voicefleet.rollout import LiveRevision, RolloutSeen, WorkerCalls, plan_rollout


def canary_on_step_one(**fields: object) -> Story:
    story = Story(canary=canary(**fields)).template("two")
    story.look(one=4)
    story.look(one=4, two=1)
    return story


def analysed(**fields: object) -> Story:
    return canary_on_step_one(analysis=ANALYSIS, **fields)


def test_the_first_revision_of_all_is_complete_at_once() -> None:
    said = plan_rollout(RolloutSeen(Rollout(), "one"), now=NOW)

    assert (said.status.phase, said.target, said.stable, said.share_percent) == ("Complete", "one", None, 100)
    assert [(each.name, each.number, each.role) for each in said.revisions] == [("one", 1, "Stable")]


def test_a_fleet_from_before_rollouts_were_remembered_goes_over_from_what_takes_its_calls() -> None:
    live = (LiveRevision("old", 4, 4, oldest=NOW), LiveRevision("older", 1, 1, oldest=NOW - timedelta(days=1)))

    said = plan_rollout(RolloutSeen(Rollout(), "new", live=live), now=NOW)

    assert (said.status.phase, said.status.stable, said.target) == ("Progressing", "old", "new")
    assert [(each.name, each.number) for each in said.revisions] == [("older", 1), ("old", 2), ("new", 3)]


def test_a_change_without_canary_goes_over_as_workers_take_calls_and_ends_when_the_last_old_one_is_gone() -> None:
    story = Story().template("two")
    told = []

    for live in ({"one": 4}, {"one": 3, "two": 1}, {"one": 1, "two": 3}, {"one": (0, 2), "two": 4}, {"two": 4}):
        story.after(20).look(**live)
        told.append((story.status.phase, story.status.share_percent, story.status.stable))

    assert told == [
        ("Progressing", 0, "one"),
        ("Progressing", 25, "one"),
        ("Progressing", 75, "one"),
        ("Draining", 100, "two"),
        ("Complete", 100, "two"),
    ]


def test_a_finished_rollout_stays_finished_while_workers_crash_and_come() -> None:
    story = Story().template("two")
    story.look(two=4)

    assert story.look(two=(0, 4)).status.phase == "Complete"
    assert story.after(100_000).look(two=(3, 9)).status.phase == "Complete"


def test_a_canary_takes_its_steps_one_after_another() -> None:
    story = Story(canary=canary()).template("two")
    story.look(one=4)
    assert story.told == ("Progressing", "two", 5)
    assert story.status.step_started_at is None

    story.after(400).look(one=4, two=1)
    assert story.after(599).look().status.step == 1
    assert story.after(1).look().status.step == 2
    assert story.told == ("Progressing", "two", 50)
    assert story.after(299).look(one=2, two=2).status.step == 2

    story.after(1).look()
    assert story.told == ("Progressing", "two", 100)
    story.look(one=(0, 1), two=4)
    assert story.told == ("Draining", "two", 100)
    assert story.look(two=4).status.phase == "Complete"


def test_the_correction_of_a_revision_that_never_took_calls_goes_over_at_once() -> None:
    story = Story(taking=0, canary=canary()).template("two")
    story.look(one=(0, 4))
    assert story.told == ("Progressing", "two", 100)

    story.look(one=(0, 4), two=4)
    assert story.told == ("Draining", "two", 100)


def test_a_fleet_that_sleeps_is_no_reason_to_skip_the_canary() -> None:
    story = Story(canary=canary()).live().template("two")
    story.look()

    assert story.told == ("Progressing", "two", 5)


def test_a_canary_waits_with_its_step_until_it_takes_calls() -> None:
    story = Story(canary=canary()).template("two")
    story.look(one=4, two=(0, 1))

    assert story.after(700).look().status.step == 1


def test_a_canary_whose_workers_are_all_gone_takes_no_step() -> None:
    story = canary_on_step_one()

    assert story.after(700).look(one=4, two=(0, 1)).status.step == 1


def test_a_step_without_end_waits_for_a_person_and_says_how_to_go_on() -> None:
    story = Story(canary=canary({"sharePercent": 10, "pauseSeconds": 0}, {"sharePercent": 50})).template("two")
    story.look(one=4, two=1)
    story.after(100_000).look()

    assert story.told == ("Paused", "two", 10)
    assert "kubectl annotate va NAME voicefleet.dev/promote=2/1 --overwrite" in story.status.verdict

    story.promote("2/1").look()
    assert story.told == ("Progressing", "two", 50)


def test_an_annotation_left_from_the_last_rollout_lets_nothing_go_on() -> None:
    story = canary_on_step_one().promote("2/all")
    story.look()
    story.look(two=4)

    story.template("three").look(two=4, three=1)

    assert (story.status.phase, story.status.step) == ("Progressing", 1)


def test_a_person_may_skip_all_steps() -> None:
    assert canary_on_step_one().promote("two/all").look().share_percent == 100


def test_a_step_needs_its_calls_before_it_is_left() -> None:
    story = analysed()

    story.after(601).counted(one=well(900), two=well(40)).look()
    assert (story.status.step, story.status.verdict) == (
        1,
        "step 1 of 2, 5 % of new calls: 40 of the 50 calls after which it is judged",
    )
    story.after(31).counted(one=well(200), two=well(10)).look()
    assert story.status.step == 2


def test_figures_from_before_the_canary_took_calls_are_left_aside() -> None:
    story = Story(canary=canary(analysis=ANALYSIS)).template("two")
    story.look(one=4)
    story.after(60).counted(one=figures(500, failed=400))

    assert story.look(one=4, two=1).figures_used
    assert story.after(30).counted(one=well(500), two=well(60)).look().status.analysis is not None
    assert story.status.analysis is not None
    assert story.status.analysis.stable.calls_failed == 5


def test_a_canary_that_is_worse_is_rolled_back_and_not_tried_again() -> None:
    story = analysed()
    story.after(30).counted(one=well(1000), two=figures(60, failed=20)).look()

    assert story.told == ("RolledBack", "one", 100)
    assert story.status.share_percent == 0
    assert story.status.verdict == (
        "worse: failed calls 33 % of 60, stable 1 % of 1000, allowed 2 %; new calls go to one again"
    )
    assert {each.name: each.role for each in story.seen.known} == {"one": "Stable", "two": "Old"}

    story.after(100_000).counted(one=well(1000), two=well(1000)).look(one=4)
    assert story.told == ("RolledBack", "one", 100)


def test_a_new_template_is_tried_after_a_rollback() -> None:
    story = analysed()
    story.after(30).counted(one=well(1000), two=figures(60, failed=20)).look()

    story.template("three").look(one=4)

    assert story.told == ("Progressing", "three", 5)
    assert story.status.rejected is None


def test_a_person_may_take_a_rejected_revision_on_himself() -> None:
    story = analysed()
    story.after(30).counted(one=well(1000), two=figures(60, failed=20)).look()

    story.promote("2/all").look(one=4)

    assert story.told == ("Progressing", "two", 100)


def test_a_promotion_of_some_steps_does_not_undo_a_rejection() -> None:
    story = analysed().promote("2/0")
    story.after(30).counted(one=well(1000), two=figures(60, failed=20)).look()

    assert story.promote("2/1").look().target == "one"


def test_without_automatic_rollback_a_worse_canary_stands_still_until_a_person_goes_on() -> None:
    story = analysed(automaticRollback=False)
    story.after(30).counted(one=well(1000), two=figures(60, failed=20)).look()
    assert story.told == ("Paused", "two", 5)
    assert "promote=2/1" in story.status.verdict
    status = story.status

    story.after(5000).counted(one=well(1000), two=well(60)).look()
    assert story.status == status

    story.promote("2/1").look()
    assert story.told == ("Progressing", "two", 50)
    assert story.status.analysis is not None
    assert story.status.analysis.canary.calls_ended == 0


def test_a_pause_holds_the_share_and_its_time_does_not_count() -> None:
    story = canary_on_step_one()
    story.after(500).spec(paused=True).look()
    assert story.told == ("Paused", "two", 5)

    story.after(3600).look()
    story.after(10).spec(paused=False).look()
    assert story.after(99).look().status.step == 1
    assert story.after(1).look().status.step == 2


def test_a_template_changed_in_a_pause_waits_for_its_end() -> None:
    story = Story(paused=True, canary=canary()).template("two")
    story.look(one=4)
    assert story.told == ("Paused", "one", 100)
    assert (story.status.revision, story.status.share_percent) == ("two", 0)

    story.after(900).spec(paused=False).look()
    assert story.told == ("Progressing", "two", 5)


def test_a_pause_without_canary_keeps_calls_where_they_go_now() -> None:
    story = Story().template("two")
    story.look(one=3, two=1)

    story.spec(paused=True).look()

    assert story.told == ("Paused", "two", 25)
    assert story.said is not None
    assert story.said.stable == "one"


def test_a_blind_operator_takes_no_step_and_judges_nothing() -> None:
    story = analysed().blind()
    story.after(700).counted(one=well(1000), two=figures(60, failed=60)).look()
    assert story.told == ("Paused", "two", 5)

    story.blind(is_blind=False).look()
    assert story.status.phase == "RolledBack"


def test_a_blind_operator_does_not_call_a_rollout_done() -> None:
    story = Story().template("two")

    assert story.blind().look(two=4).status.phase == "Progressing"


def test_a_rollout_in_a_rollout_keeps_its_way_back() -> None:
    story = canary_on_step_one().template("three")
    story.look(one=4, two=1)

    assert story.told == ("Progressing", "three", 5)
    assert (story.status.stable, story.status.step) == ("one", 1)
    assert {each.name: each.role for each in story.seen.known} == {"one": "Stable", "two": "Old", "three": "Canary"}


def test_the_old_template_again_is_a_way_back_without_steps() -> None:
    story = canary_on_step_one().template("one")

    story.look(one=4, two=1)
    assert story.told == ("Progressing", "one", 100)
    story.look(one=4, two=(0, 1))
    assert story.told == ("Draining", "one", 100)
    assert story.look(one=4).status.phase == "Complete"


def test_undo_goes_to_a_remembered_revision_by_name_or_number_and_back_to_the_template_when_it_is_removed() -> None:
    for wish in ("one", "1"):
        story = Story(canary=canary()).template("two").promote("2/all")
        story.look(two=4)
        story.spec(undoToRevision=wish).look(two=4)
        assert story.told == ("Progressing", "one", 100)
        story.look(one=4)
        assert story.told == ("Complete", "one", 100)

        story.promote("").spec(undoToRevision=None).look()
        assert story.told == ("Progressing", "two", 5)


def test_undo_works_in_a_pause() -> None:
    story = canary_on_step_one().spec(paused=True)
    story.look()

    assert story.spec(undoToRevision="one").look().target == "one"


def test_an_unknown_revision_stalls_with_the_known_ones_and_holds_the_share() -> None:
    story = canary_on_step_one().spec(undoToRevision="9")
    story.look()

    assert story.told == ("Stalled", "two", 5)
    assert story.status.verdict == "revision 9 is not remembered; undoToRevision may be one of 1 (one)"
    assert story.spec(undoToRevision=None).look().status.phase == "Progressing"


def test_a_rejected_revision_is_none_to_go_back_to() -> None:
    story = analysed()
    story.after(30).counted(one=well(1000), two=figures(60, failed=20)).look()

    assert story.spec(undoToRevision="two").look().target == "one"


def test_a_rollout_without_progress_stalls_and_recovers_by_itself() -> None:
    story = Story().template("two")
    story.look(one=4)
    story.after(100).look(one=3, two=1)

    assert story.after(899).look().status.phase == "Progressing"
    assert story.after(1).look().status.phase == "Stalled"
    assert "900 seconds" in story.status.verdict
    assert story.told == ("Stalled", "two", 100)
    assert story.after(50).look(one=2, two=2).status.phase == "Progressing"


def test_a_canary_that_takes_calls_is_not_stalled_by_waiting() -> None:
    story = Story(canary=canary({"sharePercent": 5, "pauseSeconds": 7200})).template("two")
    story.look(one=4, two=1)

    assert story.after(7000).look().status.phase == "Progressing"


def test_a_canary_of_which_a_worker_is_closed_for_want_of_calls_is_not_stalled() -> None:
    story = Story(canary=canary({"sharePercent": 5, "pauseSeconds": 5000})).template("two")
    story.look(one=4, two=(1, 2, 1))

    assert story.after(901).look().status.phase == "Progressing"
    story.look(one=4, two=(1, 3, 1))
    assert story.after(901).look().status.phase == "Stalled"


def test_a_canary_of_a_fleet_that_sleeps_is_not_stalled() -> None:
    story = canary_on_step_one().wants(0)
    story.look(one=0, two=0)

    assert story.after(901).look().status.phase == "Progressing"
    story.wants(1).look()
    assert story.after(901).look().status.phase == "Stalled"


def test_a_rollout_that_cannot_see_says_so() -> None:
    story = Story().template("two")
    story.look(one=4)
    story.blind().look(one=3, two=1)

    assert "load of some workers is unknown" in story.status.verdict
    assert story.after(901).look().status.phase == "Stalled"
    assert "load of some workers is unknown" in story.status.verdict


def test_a_template_that_is_written_while_undo_holds_another_is_told_of() -> None:
    story = Story().template("two")
    story.look(two=4)
    story.spec(undoToRevision="1").look(one=4)

    story.template("three").look()

    assert story.told == ("Complete", "one", 100)
    assert "undoToRevision keeps revision one" in story.status.verdict
    story.rules.pop("undoToRevision")
    assert "undoToRevision" not in story.look().status.verdict


def test_steps_that_are_edited_down_take_no_calls_back() -> None:
    story = canary_on_step_one()
    story.after(600).look()

    story.spec(canary=canary({"sharePercent": 1}, {"sharePercent": 2})).look()

    assert story.told == ("Progressing", "two", 50)


def test_the_next_look_is_at_the_end_of_the_step_or_of_the_interval() -> None:
    assert canary_on_step_one().after(100).look().next_look == timedelta(seconds=500)
    assert analysed().after(10).look().next_look == timedelta(seconds=20)
    assert Story().look().next_look is None


def test_only_as_many_revisions_are_remembered_as_wished_and_no_number_is_given_twice() -> None:
    story = Story(revisionHistoryLimit=1)
    for name in ("two", "three", "four"):
        story.template(name).look(**{name: 4})

    assert [(each.name, each.number) for each in story.seen.known] == [("three", 3), ("four", 4)]

    story.spec(revisionHistoryLimit=0).template("three").look(three=4)
    assert [(each.name, each.number) for each in story.seen.known] == [("three", 3)]
    story.template("five").look(three=4)
    assert [(each.name, each.number) for each in story.seen.known] == [("three", 3), ("five", 5)]


def test_a_revision_that_still_lives_is_never_forgotten() -> None:
    story = Story(revisionHistoryLimit=0)
    for name in ("two", "three"):
        story.template(name).look(**{name: 4, "one": (0, 1)})

    assert [each.name for each in story.seen.known] == ["one", "three"]


def test_drained_calls_are_counted_in_the_status() -> None:
    story = Story().template("two")
    story.holding(WorkerCalls("a", "one", 3), WorkerCalls("b", "two", 7)).look(one=1, two=1)
    assert story.status.calls_drained == 0

    story.holding(WorkerCalls("a", "one", 3, closed=True), WorkerCalls("b", "two", 7)).look(one=(0, 1), two=1)
    assert (story.status.calls_drained, story.status.calls_finished) == (3, 0)

    story.holding(WorkerCalls("b", "two", 7)).look(two=1)
    assert (story.status.calls_drained, story.status.calls_finished, story.status.calls_cut) == (3, 0, 3)


def test_the_next_rollout_counts_anew() -> None:
    story = Story().template("two")
    story.holding(WorkerCalls("a", "one", 3, closed=True)).look(one=(0, 1), two=1)
    story.template("three").look(one=(0, 1), two=1)

    assert story.status.calls_drained == 3
    story.holding().template("four").look(two=1)
    assert (story.status.calls_drained, story.status.calls_cut) == (0, 0)
