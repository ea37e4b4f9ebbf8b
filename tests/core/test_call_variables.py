"""Values of one call, and how they fill prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.voiceagent.agents import Variable
from voicefleet.conversation.call_variables import Missing, fill, read_call_variables, resolve_variables, shareable
from voicefleet.conversation.phrases import disclosure

DECLARED = (Variable(name="name"), Variable(name="company", default="Riverside"))


@pytest.mark.parametrize(
    "metadata", ["", "no json", "[]", '{"variables": []}', '{"other": 1}', "3", "null", "[" * 100_000]
)
def test_metadata_of_another_shape_brings_nothing(metadata: str) -> None:
    assert read_call_variables(metadata) == {}


def test_values_are_read_as_text_and_objects_are_left_out() -> None:
    body = '{"variables": {"a": "x", "b": 3, "c": true, "d": {"e": 1}, "f": null, "g": 1.5}}'

    assert read_call_variables(body) == {"a": "x", "b": "3", "c": "true", "g": "1.5"}


def test_half_of_a_character_is_none_and_no_request_breaks_on_it() -> None:
    """Whoever cuts a name to a length may cut an emoji in two, and JSON can say so."""
    assert read_call_variables('{"variables": {"name": "Ada \\ud83d"}}') == {"name": "Ada ?"}


def test_defaults_stand_in_and_undeclared_values_stay_out() -> None:
    assert resolve_variables(DECLARED, {"name": "Ada", "secret": "x"}) == {"name": "Ada", "company": "Riverside"}


def test_a_call_without_a_value_that_has_no_default_is_refused() -> None:
    assert resolve_variables(DECLARED, {"company": "x"}) == Missing(("name",))


def test_empty_text_is_a_value() -> None:
    assert resolve_variables(DECLARED, {"name": ""}) == {"name": "", "company": "Riverside"}


def test_braces_are_filled_and_unknown_ones_leave_nothing() -> None:
    assert fill("Hi {{name}}, {{ company }}{{gone}}.", {"name": "Ada", "company": "R"}) == "Hi Ada, R."


def test_personal_values_are_for_nobody_else() -> None:
    declared = (*DECLARED, Variable(name="birthday", default="", personal=True))

    assert shareable(declared, {"company": "R", "birthday": "3 May"}) == {"company": "R"}


@given(st.text())
def test_a_value_is_never_filled_again(value: str) -> None:
    assert fill("{{name}}", {"name": value, "account_id": "secret"}) == value


def test_a_machine_says_so_in_the_callers_language_or_in_english() -> None:
    assert "KI" in disclosure("de-AT")
    assert disclosure("xx") == disclosure("en")
