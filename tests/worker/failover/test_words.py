"""Words come whole, and as soon as they are."""

from hypothesis import given
from hypothesis import strategies as st

from voicefleet_worker.failover.words import WholeWords

PIECES = st.lists(st.text(alphabet="ab, .\u00e9\u65e5\u672c\u0e01", max_size=6), max_size=20)


@given(PIECES)
def test_nothing_is_lost_and_nothing_added(pieces: list[str]) -> None:
    words = WholeWords()

    let_through = "".join([*map(words.push, pieces), words.finish()])

    assert let_through == "".join(pieces) == words.said


@given(PIECES)
def test_no_word_is_let_through_by_half(pieces: list[str]) -> None:
    words, whole = WholeWords(), "".join(pieces)

    for piece in pieces:
        words.push(piece)
        at = len(words.said)
        cut = whole[max(0, at - 1) : at + 1]
        assert not (len(cut) == 2 and all(c in "ab\u00e9" for c in cut)), "a word is cut"


def test_scripts_without_spaces_wait_for_nothing() -> None:
    assert WholeWords().push("\u4eca\u65e5\u306f") == "\u4eca\u65e5\u306f"


def test_a_word_without_end_does_not_hold_an_answer_back() -> None:
    assert len(WholeWords().push("x" * 100)) >= 60
