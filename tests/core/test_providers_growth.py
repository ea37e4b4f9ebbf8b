"""What all workers of a pool have counted lately, whoever of them restarts, vanishes or repeats itself."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.providers import MOMENT, latencies, ledger_of, says, word
from voicefleet.providers.growth import SLICE_SECONDS, Growth, ProviderLedger
from voicefleet.wire import ProviderWord

NAMES = st.sampled_from(["deepgram", "openai"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        NAMES,
        st.integers(0, 50),
        st.integers(0, 50),
        st.booleans(),
    ),
    max_size=40,
)


def test_what_was_counted_before_a_worker_was_first_heard_is_no_figure_of_now() -> None:
    ledger = ledger_of(("a", 0, says(word(requests=1000, errors=900))))

    assert ledger.recent("deepgram", MOMENT) == Growth()
    assert ledger.answered_at("deepgram") == 0


def test_figures_are_what_workers_counted_since_their_word_before() -> None:
    ledger = ledger_of(
        ("a", 0, says(word(requests=10, errors=1))),
        ("b", 1, says(word(requests=100, latency=latencies(0.3)))),
        ("a", 5, says(word(requests=14, errors=2))),
        ("b", 6, says(word(requests=104, latency=latencies(0.3, 0.4)))),
    )

    assert ledger.recent("deepgram", MOMENT + 6) == Growth(8, 1, latencies(0.4))
    assert ledger.recent("deepgram", MOMENT + 6).error_fraction == 1 / 8


def test_a_restarted_worker_begins_at_zero_and_all_that_it_says_is_new() -> None:
    ledger = ledger_of(
        ("a", 0, says(word(requests=10))),
        ("a", 5, says(word(requests=12, errors=1), instance="second")),
    )

    assert ledger.recent("deepgram", MOMENT + 5) == Growth(12, 1)


def test_counts_that_fall_are_those_of_another_process_even_if_it_does_not_say_so() -> None:
    ledger = ledger_of(("a", 0, says(word(requests=10))), ("a", 5, says(word(requests=3))))

    assert ledger.recent("deepgram", MOMENT + 5) == Growth(3)


def test_a_word_without_providers_takes_nothing_back() -> None:
    silent = says().model_copy(update={"providers": None})
    ledger = ledger_of(("a", 0, says(word(requests=10))), ("a", 2, silent), ("a", 5, says(word(requests=11))))

    assert ledger.recent("deepgram", MOMENT + 5) == Growth(1)


def test_figures_are_forgotten_after_five_minutes() -> None:
    ledger = ledger_of(("a", 0, says(word())), ("a", 1, says(word(requests=5))))

    assert ledger.recent("deepgram", MOMENT + SLICE_SECONDS).requests == 5
    assert ledger.recent("deepgram", MOMENT + 2 * SLICE_SECONDS).requests == 0


def test_figures_that_nobody_asked_for_in_between_are_forgotten_all_the_same() -> None:
    ledger = ledger_of(("a", 0, says(word())), ("a", 1, says(word(requests=5))))

    assert ledger.recent("deepgram", MOMENT + 2 * SLICE_SECONDS) == Growth()


def test_a_worker_that_is_gone_says_nothing_more_and_what_it_counted_stays() -> None:
    ledger = ledger_of(("a", 0, says(word())), ("a", 1, says(word(requests=5, in_use=3))))
    ledger.retain({"b"}, {"deepgram"})

    assert ledger.words_of("deepgram", MOMENT + 1) == []
    assert ledger.recent("deepgram", MOMENT + 1).requests == 5


def test_of_providers_that_a_pool_does_not_have_nothing_is_kept() -> None:
    ledger = ledger_of(*(("a", n, says(word(f"made-up-{n}", requests=n), word(requests=n))) for n in range(9)))
    ledger.note("a", "voice", says(word("made-up-8", requests=9), word(requests=9)), MOMENT + 9)
    assert ledger.recent("made-up-8", MOMENT + 9).requests > 0
    ledger.retain({"a"}, {"deepgram"})

    assert ledger.recent("made-up-8", MOMENT + 9) == Growth()
    assert ledger.answered_at("made-up-8") == 0
    assert ledger.recent("deepgram", MOMENT + 9).requests == 9


def test_a_word_counts_for_fifteen_seconds() -> None:
    ledger = ledger_of(("a", 0, says(word())))

    assert len(ledger.words_of("deepgram", MOMENT + 15)) == 1
    assert ledger.words_of("deepgram", MOMENT + 15.1) == []


def test_errors_are_no_answers() -> None:
    failing = ledger_of(("a", 0, says(word())), ("a", 1, says(word(requests=5, errors=5))))
    answering = ledger_of(("a", 0, says(word())), ("a", 1, says(word(requests=5, errors=4))))

    assert failing.answered_at("deepgram") == 0
    assert answering.answered_at("deepgram") == MOMENT + 1
    assert answering.answered_at("deepgram", "elsewhere") == 0


@given(STEPS)
def test_figures_are_the_sum_of_all_that_was_done_after_the_first_word_whoever_restarts(
    steps: list[tuple[str, str, int, int, bool]],
) -> None:
    ledger, counts, instances = ProviderLedger(), dict[str, dict[str, ProviderWord]](), dict[str, int]()
    expected = {"deepgram": Growth(), "openai": Growth()}
    for uid, name, good, bad, restarts in steps:
        is_new = uid not in counts
        if restarts or is_new:
            counts[uid] = {each: word(each) for each in expected}
            instances[uid] = instances.get(uid, 0) + 1
        before = counts[uid][name]
        counts[uid][name] = word(name, requests=before.requests + good + bad, errors=before.errors + bad)
        if not is_new:
            expected[name] += Growth(good + bad, bad)
        ledger.note(uid, "voice", says(*counts[uid].values(), instance=str(instances[uid])), MOMENT)

    for name, growth in expected.items():
        assert ledger.recent(name, MOMENT) == growth


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2**53), st.integers(0, 2**53)), max_size=20))
def test_whatever_workers_claim_no_figure_is_below_zero_and_no_share_above_one(
    claims: list[tuple[str, int, int]],
) -> None:
    ledger = ProviderLedger()
    for uid, requests, errors in claims:
        ledger.note(uid, "voice", says(word(requests=requests, errors=errors)), MOMENT)
    recent = ledger.recent("deepgram", MOMENT)

    assert min(recent.requests, recent.errors) >= 0
    assert recent.error_fraction is None or 0 <= recent.error_fraction <= 1
