"""Which calls are recorded, what their files are called, and when one that could not be kept is tried again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.voiceagent.records import Recording
from voicefleet.keeping.choosing import Choice, choose, has_room, is_sampled
from voicefleet.keeping.naming import call_of, object_name, plain_call
from voicefleet.keeping.outbox import AT_ONCE, Failure, pause_seconds, plan_uploads
from voicefleet.quantities import bytes_of

BEGAN = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
NAMES = st.text(alphabet="abcdef", min_size=1, max_size=3)


def named(prefix: str, call: str = "AJ_1") -> str:
    return object_name(prefix, agent="desk", call=call, began=BEGAN, suffix=".ogg")


@given(st.text(), st.integers(0, 100), st.integers(0, 100))
def test_a_larger_share_holds_every_smaller_one(call: str, one: int, other: int) -> None:
    if is_sampled(call, min(one, other)):
        assert is_sampled(call, max(one, other))


@given(st.text())
def test_no_call_is_in_a_share_of_nothing_and_every_call_in_the_whole(call: str) -> None:
    assert not is_sampled(call, 0)
    assert is_sampled(call, 100)


def test_a_share_is_a_share() -> None:
    sampled = sum(is_sampled(f"AJ_{number}", 20) for number in range(10_000))

    assert 1800 < sampled < 2200


@pytest.mark.parametrize(
    ("spec", "room", "choice"),
    [
        pytest.param({"enabled": False}, True, Choice.OFF, id="nobody wants it"),
        pytest.param({"enabled": True, "samplePercent": 0}, True, Choice.NOT_SAMPLED, id="not in the share"),
        pytest.param({"enabled": True}, False, Choice.NO_ROOM, id="a full disk"),
        pytest.param({"enabled": True}, True, Choice.RECORD, id="wanted, and room for it"),
    ],
)
def test_a_call_is_recorded_if_it_is_wanted_and_there_is_room(
    spec: dict[str, object], room: bool, choice: Choice
) -> None:
    assert choose(Recording.model_validate(spec), "AJ_1", has_room=room) is choice


@pytest.mark.parametrize(
    ("files", "disk", "room"),
    [
        pytest.param(89, 89, True, id="below both marks"),
        pytest.param(90, 10, False, id="our own files at the mark"),
        pytest.param(10, 90, False, id="the disk at the mark"),
    ],
)
def test_a_disk_at_nine_tenths_takes_no_new_file(files: int, disk: int, room: bool) -> None:
    assert has_room(files_bytes=files, limit_bytes=100, disk_used_bytes=disk, disk_bytes=100) is room


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        pytest.param("", "desk/2026-03-01/AJ_1.ogg", id="by agent and day where nothing is said"),
        pytest.param("calls/{{date}}/", "calls/2026-03-01/AJ_1.ogg", id="a day in UTC"),
        pytest.param("{{ agent }}-{{call}}/", "desk-AJ_1/AJ_1.ogg", id="the call's id comes last even if said before"),
        pytest.param("a-", "a-AJ_1.ogg", id="a prefix that is no folder"),
        pytest.param("{{caller}}/x/", "x/AJ_1.ogg", id="a place that nobody knows is empty"),
        pytest.param("../../etc/", "etc/AJ_1.ogg", id="no way out of a directory"),
    ],
)
def test_a_file_is_named_by_its_prefix_and_its_call(prefix: str, name: str) -> None:
    assert named(prefix) == name


@given(st.text(max_size=40), st.text(min_size=1, max_size=40))
def test_no_name_leads_elsewhere_and_each_tells_its_call(prefix: str, call: str) -> None:
    name = named(prefix, call.replace(".", ""))
    parts = name.split("/")

    assert not {"", ".", ".."} & set(parts)
    assert prefix or call_of(name) == plain_call(call.replace(".", ""))


def test_a_file_that_fails_rests_ever_longer_up_to_a_minute() -> None:
    assert [pause_seconds(times) for times in (1, 2, 3, 6, 7, 8, 10_000)] == [1, 2, 4, 32, 60, 60, 60]


@given(
    st.frozensets(NAMES, max_size=8),
    st.dictionaries(NAMES, st.builds(Failure, st.integers(1, 20), st.floats(0, 100)), max_size=8),
    st.frozensets(NAMES, max_size=3),
    st.floats(0, 200),
)
def test_every_file_is_sent_under_way_or_waited_for(
    waiting: frozenset[str], failures: dict[str, Failure], under_way: frozenset[str], now: float
) -> None:
    plan = plan_uploads(waiting, failures, now, under_way=under_way)

    assert not set(plan.send) & under_way
    assert set(plan.send) <= waiting
    assert len(plan.send) + len(under_way) <= max(AT_ONCE, len(under_way))
    if waiting - under_way and not plan.send and not under_way:
        assert plan.wait_seconds is not None
        assert 0 < plan.wait_seconds <= 60 + 100


def test_a_file_that_fails_for_ever_holds_no_other_up() -> None:
    failures = {"bad": Failure(9, at=0.0), "worse": Failure(9, at=0.0)}

    assert plan_uploads(["bad", "new", "worse"], failures, 100.0).send == ("new", "bad")


@pytest.mark.parametrize(
    ("size", "count"),
    [("10Gi", 10 << 30), ("1.5Ki", 1536), ("2G", 2_000_000_000), (4, 4), ("1500m", 1), ("0", 0)],
)
def test_sizes_are_read_as_kubernetes_writes_them(size: int | str, count: int) -> None:
    assert bytes_of(size) == count
