"""Answers that are objects: spoken as they are written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.voiceagent.agents import StructuredOutput
from voicefleet.conversation.structured import Written, ask_for, missing_field, read_answer, response_format, wishes_of


def wanted(**more: Any) -> StructuredOutput:
    properties = {"text": {"type": "string"}, "emotion": {"type": "string"}, "style": {"type": "string"}}
    spec = {"parameters": {"type": "object", "properties": properties}, "emotionField": "emotion", **more}
    return StructuredOutput.model_validate(spec)


@pytest.mark.parametrize(
    ("text", "spoken", "fields"),
    [
        ("", "", {}),
        (" {", "", {}),
        ('{"emo', "", {}),
        ('{"emotion": "wa', "", {}),
        ('{"emotion": "warm", "te', "", {"emotion": "warm"}),
        ('{"emotion": "warm", "text": "He', "He", {"emotion": "warm"}),
        ('{"emotion": "warm", "text": "Hello.", "more": {"a": [1, "x"', "Hello.", {"emotion": "warm"}),
        ('{"sure": 0.9, "list": ["a"], "text": "Yes \\"b\\" \\u00e', 'Yes "b" ', {}),
        ('{"text": "\\ud83d\\ude', "", {}),
        ('{"text": "\\ud83d\\ude00 ok"}', "😀 ok", {}),
        ('{"text": "a\\\\', "a\\", {}),
        ('{"text": null}', "", {}),
        ("Hello there.", "Hello there.", {}),
        (r"""{"emotion": "I\'m", "text": "It\'s""", "It's", {"emotion": "I'm"}),
        (r"""{"text": "It\'s so."}""", "It's so.", {}),
        ('{"text": "\\uZZ12 \\x.", "a": "b"}', "uZZ12 x.", {"a": "b"}),
        ('{"text": "\\ud83d half \\udc00"}', "\ufffd half \ufffd", {}),
        ('{"text": "\\ud83d', "", {}),
        ('{"text": "\\ud83d\\n', "\ufffd\n", {}),
        ("`", "", {}),
        ("```json\n", "", {}),
        ('```json\n{"emotion": "warm", "text": "He', "He", {"emotion": "warm"}),
        ('```\n{"text": "Hello."}\n```', "Hello.", {}),
    ],
)
def test_an_answer_is_read_as_far_as_it_goes(text: str, spoken: str, fields: dict[str, str]) -> None:
    assert read_answer(text, "text") == Written(spoken, fields)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
OTHERS = st.dictionaries(TEXTS.filter(lambda key: key != "text"), TEXTS | st.integers() | st.lists(TEXTS), max_size=3)


@given(st.text(r"""{}"\:,ud83dcZn'` text""", max_size=60))
def test_whatever_a_model_writes_is_read_and_can_be_sent(text: str) -> None:
    for written in (text, '{"text": "' + text):
        for end in range(len(written) + 1):
            spoken = read_answer(written[:end], "text").spoken
            assert spoken.encode().decode() == spoken


@given(OTHERS, TEXTS, OTHERS, st.booleans())
def test_what_is_spoken_only_grows_and_is_whole_in_the_end(
    before: dict[str, Any], speech: str, after: dict[str, Any], escaped: bool
) -> None:
    after = {key: value for key, value in after.items() if key not in before}
    text = json.dumps({**before, "text": speech, **after}, ensure_ascii=escaped)
    spoken = ""
    for end in range(len(text) + 1):
        now = read_answer(text[:end], "text").spoken
        assert now.startswith(spoken)
        spoken = now
    assert spoken == speech


def test_how_it_is_said_is_asked_for_before_what_is_said() -> None:
    schema = response_format(wanted())["json_schema"]["schema"]

    assert list(schema["properties"]) == ["emotion", "style", "text"]
    assert ask_for(wanted()).index('"emotion"') < ask_for(wanted()).index('"text"')


def test_wishes_have_the_names_that_plugins_know() -> None:
    written = Written("Hello.", {"emotion": "warm", "style": "slowly", "text": "x"})

    assert wishes_of(wanted(styleField="style"), written) == {"emotion": "warm", "instructions": "slowly"}
    assert wishes_of(wanted(), written) == {"emotion": "warm"}
    assert wishes_of(wanted(), Written("Hello.")) == {}


def test_a_field_that_the_schema_lacks_is_found() -> None:
    assert missing_field(wanted()) is None
    assert missing_field(wanted(speechField="words")) == "words"
    assert missing_field(wanted(styleField="mood")) == "mood"
