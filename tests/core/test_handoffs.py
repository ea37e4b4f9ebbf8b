"""What the next agent is given, case by case."""

import pytest

from voicefleet.handoffs.passing import Context, Said, pass_on, reason_of, shorten
from voicefleet.handoffs.sight import Member, Sight, betrays, marks_of, put, remember, sight_of, take_in, visible

RECEPTION = Member("reception", tools=frozenset({"hours"}))
BILLING = Member("billing", private=frozenset({"account"}), tools=frozenset({"hours", "invoices"}))
TEAM = (RECEPTION, BILLING)
VALUES = {"company": "Riverside", "account": "DE-12 345"}


def texts(conversation: list[Said], to: Member, sight: Sight, context: Context = "Full") -> list[str]:
    return [item.text for item in pass_on(conversation, context, to, sight, take_in(TEAM, VALUES)).said]


def test_a_private_variable_is_seen_by_its_agent_and_by_whom_a_handoff_names_it_to() -> None:
    variables = take_in(TEAM, VALUES)

    assert visible(sight_of(TEAM, "billing"), variables) == VALUES
    assert visible(sight_of(TEAM, "reception"), variables) == {"company": "Riverside"}
    assert visible(sight_of(TEAM, "reception", named=["account"]), variables) == VALUES


def test_who_knows_something_private_is_not_quoted_to_others_but_its_caller_is() -> None:
    billing = marks_of(sight_of(TEAM, "billing"), take_in(TEAM, VALUES))
    conversation = [
        Said("1", "Caller", "I want to pay."),
        Said("2", "Agent", "Your account is D E one two three four five.", billing),
        Said("3", "Caller", "Yes, de 12345, that is me."),
        Said("4", "Caller", "When are you open?"),
    ]

    assert texts(conversation, RECEPTION, sight_of(TEAM, "reception")) == ["I want to pay.", "When are you open?"]
    assert len(texts(conversation, RECEPTION, sight_of(TEAM, "reception", named=["account"]))) == 4
    assert len(texts(conversation, BILLING, sight_of(TEAM, "billing"))) == 4


def test_who_knows_nothing_private_is_quoted_in_full() -> None:
    nothing = take_in(TEAM, {"company": "Riverside", "account": ""})
    marks = marks_of(sight_of(TEAM, "billing"), nothing)
    conversation = [Said("1", "Agent", "How can I help?", marks)]

    assert pass_on(conversation, "Full", RECEPTION, sight_of(TEAM, "reception"), nothing).said == tuple(conversation)


def test_tools_are_told_of_only_to_whom_has_them_and_with_question_and_answer() -> None:
    conversation = [
        Said("1", "Tool", "{}", tool="hours", call_id="a"),
        Said("2", "Tool", "open", tool="hours", call_id="a"),
        Said("3", "Tool", "{}", tool="invoices", call_id="b"),
        Said("4", "Tool", "none", tool="invoices", call_id="b"),
        Said("5", "Tool", "{}", tool="hours", call_id="c"),
        Said("6", "Tool", "ask for DE-12345", tool="hours", call_id="c"),
        Said("7", "Tool", "{}", tool="hours", call_id="d"),
    ]
    given = pass_on(conversation, "Full", RECEPTION, sight_of(TEAM, "reception"), take_in(TEAM, VALUES)).said

    assert [item.id for item in given] == ["1", "2"]


def test_nothing_is_nothing() -> None:
    assert texts([Said("1", "Caller", "Hello.")], BILLING, sight_of(TEAM, "billing"), "None") == []


def test_what_was_found_out_by_means_of_something_private_is_private_unless_it_is_named() -> None:
    billing = sight_of(TEAM, "billing")
    variables, _ = put(take_in(TEAM, VALUES), TEAM, "balance", "17 euros", by=billing)

    assert "balance" not in visible(sight_of(TEAM, "reception"), variables)
    assert visible(sight_of(TEAM, "reception", named=["balance"]), variables) == {
        "company": "Riverside",
        "balance": "17 euros",
    }


def test_a_variable_that_holds_the_value_of_a_private_one_is_as_private() -> None:
    variables = take_in(TEAM, {**VALUES, "note": "pays from de12345"})

    assert "note" not in visible(sight_of(TEAM, "reception"), variables)
    assert "note" in visible(sight_of(TEAM, "billing"), variables)


def test_who_sets_what_is_private_to_another_knows_it() -> None:
    _, reception = put(take_in(TEAM, {}), TEAM, "account", "1234567", by=sight_of(TEAM, "reception"))

    assert marks_of(reception, {}) == {"account"}


def test_what_was_seen_is_known_even_when_it_is_hidden_later() -> None:
    """A tool of reception that comes late writes over the account, with something that only reception may know."""
    team = (Member("reception", frozenset({"note"})), Member("billing", frozenset({"account"})))
    variables = take_in(team, {"account": "DE-12 345", "note": "is a friend"})
    billing = remember(sight_of(team, "billing"), variables)
    after, _ = put(variables, team, "account", "none", by=sight_of(team, "reception"))

    assert "account" not in visible(billing, after)
    assert "account" in marks_of(billing, after)


@pytest.mark.parametrize(
    ("text", "secret", "is_betrayed"),
    [
        ("It is D.E. 12 345!", "de-12345", True),
        ("It is DE 12346", "de-12345", False),
        ("I said no.", "no", True),
        ("Nobody knows.", "no", False),
        ("Ada's", "Ada", True),
        ("What for?", "", False),
        ("Fifty % off", "%", True),
        ("Fifty", "%", False),
        ("Straße", "STRASSE", True),
    ],
)
def test_a_value_is_found_however_it_is_spelt(text: str, secret: str, *, is_betrayed: bool) -> None:
    assert betrays(text, [secret]) is is_betrayed


def test_the_reason_is_the_specs_where_the_agents_words_may_not_be_read() -> None:
    variables, reception = take_in(TEAM, VALUES), sight_of(TEAM, "reception")
    when, said = "About opening hours.", "Wants to know  when we\nopen."

    assert reason_of(when, said, frozenset(), reception, variables) == "Wants to know when we open."
    assert reason_of(when, said, frozenset({"account"}), reception, variables) == when
    assert reason_of(when, "de12345 calls", frozenset(), reception, variables) == when
    assert reason_of(when, " ", frozenset(), reception, variables) == when


def test_a_summary_is_short() -> None:
    assert shorten("One  line.\nAnother.") == "One line. Another."
    assert len(shorten("word " * 1000)) <= 1202
