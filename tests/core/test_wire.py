"""What workers say is read whoever wrote it, and nothing in it can harm whoever computes with it."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS, LoadOrder, Tally, WorkerState, latency_class

OLD_LINE = (
    '{"sequence": 7, "revision": "r1", "podUid": "u", "slots": 12, "sessions": [{"id": "AJ_1", "ageSeconds": 3.5}],'
    ' "registered": true, "cordoned": false, "draining": false, "reportedLoad": -0.9}'
)
CLASSES = len(LATENCY_BOUNDS_MILLISECONDS) + 1
HUGE: dict[str, Any] = {
    "negative": -1, "below zero": -0.5, "too large": 2**53 + 1, "1e308": 1e308, "10**400": 10**400,
    "NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "a half": 0.5, "null": None, "a list": [1],
}  # fmt: skip
COUNTS = ("refused", "tally.callsEnded", "tally.callsFailed", "tally.hungUpEarly", "tally.providerRequests",
          "tally.providerErrors", "tally.turnLatency", "sequence")  # fmt: skip


def line(field: str, value: object) -> str:
    """Return a line of state in which one field is that."""
    said: dict[str, Any] = json.loads(OLD_LINE)
    where, _, name = field.rpartition(".")
    if name == "turnLatency":
        value = [value, *[0] * (CLASSES - 1)]
    (said.setdefault(where, {}) if where else said)[name] = value
    return json.dumps(said)


def test_the_line_of_an_old_worker_is_still_read() -> None:
    state = WorkerState.model_validate_json(OLD_LINE)

    assert (state.sequence, state.sessions[0].age_seconds, state.reported_load) == (7, 3.5, -0.9)
    assert (state.instance, state.refused, state.asked_load, state.tally) == ("", 0, None, Tally())
    assert state.tally.turn_latency == (0,) * CLASSES


def test_the_line_of_a_newer_worker_is_read_too() -> None:
    assert WorkerState.model_validate_json(line("tally.dreams", 3)).tally == Tally()


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize("field", COUNTS)
def test_a_count_that_is_none_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        WorkerState.model_validate_json(line(field, value))


@pytest.mark.parametrize(
    ("field", "refused", "taken"),
    [
        ("reportedLoad", (1.1e9, -1.1e18, 1e308, math.nan, math.inf, -math.inf), (1, 0, -1e18)),
        ("askedLoad", (0.991, 1, -1.1e18, -1e308, math.nan, -math.inf), (None, 0, 0.99, -1e18)),
        ("instance", ("i" * 33, 5), ("", "i" * 32)),
        ("slots", (-1, 201), (0, 200)),
        ("secretsChangedSecondsAgo", (-0.1, 1.1e9, math.nan, math.inf), (None, 0, 0.1, 1e9)),
        ("sessions", ([{"id": "a", "ageSeconds": math.inf}], [{"id": "a", "ageSeconds": 1.1e9}]), ([],)),
        ("sessions", ([{"id": "a", "ageSeconds": 1}] * 201,), ([{"id": "a", "ageSeconds": 1}] * 200,)),
        ("tally", ({"turnLatency": [0] * (CLASSES + 1)},), ({"turnLatency": [0] * CLASSES},)),
        ("tally", ({"turnLatency": [0] * (CLASSES - 1)}, {"turnLatency": []}, {"turnLatency": [0] * 10_000}), ({},)),
        ("tally", ({"callsEnded": 2, "callsFailed": 3},), ({"callsEnded": 3, "callsFailed": 3},)),
        ("tally", ({"callsEnded": 2, "hungUpEarly": 3},), ({"callsEnded": 3, "hungUpEarly": 3, "callsFailed": 1},)),
        ("tally", ({"providerErrors": 1},), ({"providerErrors": 1, "providerRequests": 1},)),
    ],
)
def test_bounds_hold_on_both_sides(field: str, refused: tuple[object, ...], taken: tuple[object, ...]) -> None:
    for value in taken:
        WorkerState.model_validate_json(line(field, value))
    for value in refused:
        with pytest.raises(ValidationError):
            WorkerState.model_validate_json(line(field, value))


@pytest.mark.parametrize("load", [0.99, 0, -1, -0.5, -1e18])
def test_a_load_to_report_is_well_below_one(load: float) -> None:
    assert LoadOrder.model_validate_json(json.dumps({"load": load})).load == load


@pytest.mark.parametrize("load", [0.991, 1, -1.1e18, math.nan, math.inf, -math.inf, "-1", True, None, [0]])
def test_anything_else_is_no_load(load: object) -> None:
    with pytest.raises(ValidationError):
        LoadOrder.model_validate_json(json.dumps({"load": load}))


@pytest.mark.parametrize(
    ("seconds", "its_class"), [(0, 0), (0.1, 0), (0.1001, 1), (1.2, 8), (1.2001, 9), (10, 16), (10.001, 17), (3600, 17)]
)
def test_a_turn_is_counted_with_those_that_took_as_long(seconds: float, its_class: int) -> None:
    assert latency_class(seconds) == its_class


@given(st.floats(0, 3600), st.floats(0, 3600))
def test_a_slower_turn_is_never_in_a_faster_class(one: float, other: float) -> None:
    assert 0 <= latency_class(min(one, other)) <= latency_class(max(one, other)) < CLASSES


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_no_line_can_do_more_than_be_refused(value: object) -> None:
    for field in (*COUNTS, "reportedLoad", "askedLoad", "tally", "sessions", "instance"):
        try:
            state = WorkerState.model_validate_json(line(field, value))
        except ValidationError:
            continue
        assert math.isfinite(state.reported_load)
        assert 0 <= state.refused <= 2**53
        assert WorkerState.model_validate_json(state.model_dump_json(by_alias=True)) == state
