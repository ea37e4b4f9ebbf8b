"""What holds of every rollout, whatever people, workers and the operator do in between."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rollout import ANALYSIS, Story, canary, figures, well

NAMES = ("one", "two", "three")
Event = Callable[[Story], object]


def workers(names: dict[str, tuple[int, int]]) -> Event:
    return lambda story: story.live(**{name: (min(pair), max(pair)) for name, pair in names.items()})


CANARIES = [None, canary(), canary(analysis=ANALYSIS), canary(analysis=ANALYSIS, automaticRollback=False)]
COUNTS = st.tuples(st.integers(0, 4), st.integers(0, 4))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from(NAMES).map(lambda name: lambda story: story.template(name)),
    st.dictionaries(st.sampled_from(NAMES), COUNTS).map(workers),
    st.sampled_from([1, 29, 31, 300, 600, 2000]).map(lambda seconds: lambda story: story.after(seconds)),
    st.booleans().map(lambda paused: lambda story: story.spec(paused=paused)),
    st.booleans().map(lambda blind: lambda story: story.blind(is_blind=blind)),
    st.sampled_from([None, "1", "two", "7"]).map(lambda wish: lambda story: story.spec(undoToRevision=wish)),
    st.sampled_from(["", "1/1", "2/1", "two/2", "3/9"]).map(lambda value: lambda story: story.promote(value)),
    st.sampled_from(
        [None, canary(), canary(analysis=ANALYSIS), canary(analysis=ANALYSIS, automaticRollback=False)]
    ).map(lambda spec: lambda story: story.spec(canary=spec)),
    st.sampled_from(NAMES).map(lambda name: lambda story: story.counted(**{name: figures(60, failed=40)})),
    st.just(lambda story: story.counted(**{name: well(200) for name in NAMES})),
)


@given(st.lists(EVENTS, max_size=25))
@settings(max_examples=120, deadline=None)
def test_a_rollout_keeps_its_promises_whatever_happens(events: list[Event]) -> None:
    """Each look is also made again after a restart, which must change nothing: see `Story.look`."""
    story = Story(canary=canary(analysis=ANALYSIS))
    before = story.status
    for event in events:
        event(story)
        said = story.look()
        after = said.status

        assert after.rejected is None or after.rejected not in (said.target, said.stable), "a rejected one gets calls"
        assert said.target in (after.revision, after.stable), "calls go to a third revision"
        assert (said.stable is None) == (said.share_percent == 100), "some calls go nowhere, or twice"
        if after.revision == before.revision and after.revision != after.rejected:
            assert after.share_percent >= before.share_percent or before.rejected, "calls are taken back"
            assert after.step >= before.step or before.rejected, "a step is taken back"
        assert sum(each.role == "Canary" for each in said.revisions) <= 1
        assert sum(each.role == "Stable" for each in said.revisions) == 1
        assert len({each.number for each in said.revisions}) == len(said.revisions)
        if story.seen.blind and after.revision == before.revision:
            assert after.step in (before.step, 1), "a blind operator takes a step"
            assert after.rejected in (before.rejected, None), "a blind operator judges"
        before = after


@given(st.lists(EVENTS, max_size=15))
@settings(max_examples=50, deadline=None)
def test_left_alone_with_good_figures_every_rollout_comes_to_an_end(events: list[Event]) -> None:
    story = Story(canary=canary(analysis=ANALYSIS))
    for event in events:
        event(story)
        story.look()

    story.spec(paused=False, undoToRevision=None, canary=canary(analysis=ANALYSIS)).blind(is_blind=False)
    for _ in range(12):
        story.live(**{story.told[1]: 4}).counted(**{name: well(200) for name in NAMES}).after(601).look()

    assert story.status.phase in ("Complete", "RolledBack")
    assert story.told[1] == (story.status.stable if story.status.rejected else story.seen.wanted)
