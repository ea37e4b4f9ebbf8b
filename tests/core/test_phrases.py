"""What an agent says by itself, and the words it waits for."""

import pytest

from voicefleet.conversation.phrases import call_back, disclosure, nobody_there, says_one_of


@pytest.mark.parametrize("said", [disclosure, nobody_there, lambda language: call_back(language, (), 0)])
def test_what_is_said_is_in_the_agents_language_or_in_english(said: object) -> None:
    assert callable(said)
    assert said("de-AT") == said("de") != said("en") == said("en-GB") == said("xx")


def test_a_silent_caller_hears_the_specs_words_in_their_order_and_the_last_of_them_again() -> None:
    prompts = ("Hello?", "Is anybody there?")

    assert [call_back("en", prompts, number) for number in range(4)] == ["Hello?", *["Is anybody there?"] * 3]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Stop calling me!", True),
        ("please STOP, calling me now.", True),
        ("stop", False),
        ("nonstop calling me", False),
        ("Adi\u00f3s", True),
        ("", False),
    ],
)
def test_a_phrase_is_heard_however_it_is_spelt_and_only_as_whole_words(text: str, *, ends: bool) -> None:
    assert says_one_of(text, ["stop calling me", "adi\u00f3s", "!"]) is ends
