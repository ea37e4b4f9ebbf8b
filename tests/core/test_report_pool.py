"""What the status of a ProviderPool says, and when it says it anew."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.fleet import NOW
from tests.support.providers import MOMENT, latencies, ledger_of, opened, pool, refused, says, word
from voicefleet.api import ProviderPool
from voicefleet.api.providerpool.status import ProviderPoolStatus, ProviderStatus
from voicefleet.names import POOL_FINALIZER, Reason
from voicefleet.providers.alone import Sharing
from voicefleet.providers.breaker import Cause
from voicefleet.providers.fleet_view import view_pool
from voicefleet.providers.growth import ProviderLedger
from voicefleet.providers.probing import Probed
from voicefleet.providers.users import PoolSeen, User, plan_pool_finalizers
from voicefleet.report.events import notes_of_pool
from voicefleet.report.pool import report_pool, with_old_figures
from voicefleet.wire import ProviderWord

ROLES = ("deepgram", "openai", "cartesia")
NOTHING = ProviderPoolStatus()
DESK, NIGHT = User("voice", "desk"), User("voice", "night")


def heard(*words: ProviderWord) -> ProviderLedger:
    """Return the ledger of one worker that has asked everybody, and says these things besides."""
    everybody = {name: word(name, requests=9) for name in ROLES} | {each.name: each for each in words}
    return ledger_of(("a", 0, says(*everybody.values())))


def see(
    ledger: ProviderLedger | None = None,
    of: ProviderPool | None = None,
    *users: User,
    probed: dict[str, Probed] | None = None,
    after: float = 0,
) -> PoolSeen:
    of = of or pool()
    views = view_pool(of, ledger or ProviderLedger(), probed or {}, now=MOMENT + after)
    return PoolSeen(of, users or (DESK,), views, has_workers=ledger is not None)


def report(seen: PoolSeen, before: ProviderPoolStatus = NOTHING, *, after: float = 0) -> ProviderPoolStatus:
    return report_pool(seen, before, now=NOW + timedelta(seconds=after))


def says_of(status: ProviderPoolStatus, kind: str) -> tuple[str, str]:
    """Return one condition as `status reason`, and its words."""
    found = next(condition for condition in status.conditions if condition.type == kind)
    return f"{found.status} {found.reason}", found.message


def provider_of(status: ProviderPoolStatus, name: str = "deepgram") -> ProviderStatus:
    return next(provider for provider in status.providers if provider.name == name)


def leaving(of: ProviderPool) -> ProviderPool:
    metadata = of.metadata.model_copy(update={"deletion_timestamp": "2026-03-02T12:00:00Z"})
    return of.model_copy(update={"metadata": metadata})


def test_of_providers_that_nobody_asked_nothing_is_claimed() -> None:
    status = report(see())

    assert says_of(status, "Ready") == (
        "Unknown NothingKnown",
        "whether any provider for Stt, Llm, Tts is well is not known: no call and no probe has reached one yet",
    )
    assert [provider.state for provider in status.providers] == ["Unknown"] * 3
    assert (status.healthy, status.agents) == ("?/3", 1)
    assert says_of(status, "CredentialsAccepted")[0] == "Unknown NothingKnown"
    assert says_of(status, "ReferencesResolved")[0] == "Unknown NothingKnown"
    assert notes_of_pool(NOTHING, status) == ()


def test_a_pool_of_whom_each_job_has_somebody_is_ready() -> None:
    status = report(see(heard()))

    assert says_of(status, "Ready") == ("True Ready", "every job has a provider that is well")
    assert (status.healthy, status.summary) == ("3/3", "3 of 3 providers well")
    assert says_of(status, "CredentialsAccepted")[0] == "True AsWanted"
    assert says_of(status, "ReferencesResolved")[0] == "True AsWanted"
    assert says_of(status, "Stalled")[0] == "False AsWanted"


@pytest.mark.parametrize(
    ("sharing", "words"),
    [
        (Sharing(3, 0), ""),
        (Sharing(3, 1), "; 1 of 3 workers decides alone: it does not reach the pool's Redis"),
        (Sharing(3, 2), "; 2 of 3 workers decide alone: they do not reach the pool's Redis"),
    ],
)
def test_workers_that_decide_alone_are_told_and_make_no_pool_unready(sharing: Sharing, words: str) -> None:
    status = report(replace(see(heard()), sharing=sharing))

    assert says_of(status, "Ready") == ("True Ready", f"every job has a provider that is well{words}")
    assert says_of(status, "Stalled")[0] == "False AsWanted"


def test_workers_that_decide_alone_are_told_beside_worse_news() -> None:
    status, words = says_of(report(replace(see(heard(opened())), sharing=Sharing(2, 2))), "Ready")

    assert (status, words.startswith("no provider of role Stt is well")) == ("False JobWithoutProvider", True)
    assert words.endswith("; 2 of 2 workers decide alone: they do not reach the pool's Redis")


def test_a_job_that_nobody_does_is_named_with_who_fails_since_when_and_why() -> None:
    status = report(see(heard(opened(since=MOMENT - 60))))

    assert says_of(status, "Ready") == (
        "False JobWithoutProvider",
        (
            "no provider of role Stt is well: deepgram is Open since 2026-03-02T11:59:00Z "
            "(requests failed, so workers leave it alone for a while)"
        ),
    )
    assert (status.healthy, status.summary) == ("2/3", "2 of 3 providers well; deepgram Open")
    assert says_of(status, "Stalled")[0] == "False AsWanted"


def test_a_standby_keeps_a_job_done_and_whom_it_stands_in_for_is_named() -> None:
    providers = [each.model_dump(by_alias=True, exclude_none=True) for each in pool().spec.providers]
    two = pool(providers=[*providers, providers[0] | {"name": "second"}])
    status = report(see(heard(opened(), word("second", requests=1)), two))

    assert says_of(status, "Ready") == ("True Ready", "every job has a provider that is well; deepgram is Open")
    assert status.healthy == "3/4"


def test_a_job_whose_providers_are_all_switched_off_has_nobody() -> None:
    providers = [each.model_dump(by_alias=True, exclude_none=True) for each in pool().spec.providers]
    providers[2]["enabled"] = False
    status = report(see(heard(), pool(providers=providers)))

    assert says_of(status, "Ready") == ("False JobWithoutProvider", "no provider of role Tts is enabled")
    assert (provider_of(status, "cartesia").state, status.healthy) == ("Disabled", "2/2")


def test_a_refused_key_is_told_with_its_secret_and_what_to_do() -> None:
    status = report(see(heard(refused(since=MOMENT - 1))))

    words = (
        "provider 'deepgram' (Stt) refuses the key of Secret voice/deepgram, key api-key (401 or 403): "
        "put one there that it accepts, and workers take it up without a restart"
    )
    assert says_of(status, "CredentialsAccepted") == ("False CredentialsRefused", words)
    assert says_of(status, "Stalled") == ("True CredentialsRefused", words)
    assert provider_of(status).state == "CredentialsRefused"
    assert provider_of(status).last_error == (
        "2026-03-02T11:59:59Z: it refuses the key (401 or 403) of Secret voice/deepgram, key api-key"
    )
    assert [(note.kind, note.reason) for note in notes_of_pool(report(see(heard())), status)] == [
        ("Warning", "JobWithoutProvider"),
        ("Warning", "CredentialsRefused"),
    ]


def test_a_provider_without_a_key_that_wants_one_is_told_so() -> None:
    providers = [each.model_dump(by_alias=True, exclude_none=True) for each in pool().spec.providers]
    del providers[0]["apiKey"]
    status = report(see(heard(refused()), pool(providers=providers)))

    assert says_of(status, "CredentialsAccepted")[1] == (
        "provider 'deepgram' (Stt) wants a key (401 or 403): name its Secret in apiKey"
    )


def test_a_secret_that_workers_wait_for_is_told_as_the_agent_tells_it() -> None:
    lacking = User("voice", "desk", missing_secret="Secret 'deepgram' does not exist in namespace 'voice': create it.")
    status = report(see(None, None, lacking, NIGHT))

    assert says_of(status, "ReferencesResolved") == (
        "False SecretMissing",
        "Secret 'deepgram' does not exist in namespace 'voice': create it.",
    )
    assert says_of(status, "Stalled")[0] == "True SecretMissing"


def test_a_key_that_livekit_refuses_is_told_as_the_agent_tells_it() -> None:
    status = report(see(heard(), None, User("voice", "desk", livekit_refuses="LiveKit refuses Secret livekit"), NIGHT))

    assert says_of(status, "CredentialsAccepted") == ("False CredentialsRefused", "LiveKit refuses Secret livekit")
    assert says_of(status, "Stalled")[0] == "True CredentialsRefused"
    assert status.summary == "3 of 3 providers well; LiveKit refuses the key"


def test_a_livekit_that_is_not_reached_is_told_and_its_providers_are_as_well_as_before() -> None:
    status = report(see(heard(), None, User("voice", "desk", livekit_silent="cannot reach it"), NIGHT))

    words = "every job has a provider that is well; workers of voice/desk cannot reach LiveKit"
    assert says_of(status, "Ready") == ("True Ready", words)
    assert status.summary == "3 of 3 providers well; LiveKit is not reached"


def test_an_address_where_nobody_answers_is_told_before_the_first_call() -> None:
    lost = {"https://api.deepgram.com": Probed("connection refused", failures=1)}
    status = report(see(probed=lost))

    assert says_of(status, "Ready")[0] == "False JobWithoutProvider"
    assert provider_of(status).state == "Unreachable"
    assert provider_of(status).last_error == (
        "2026-03-02T12:00:00Z: the operator does not reach it: connection refused"
    )


def test_the_last_error_and_its_time_outlive_it() -> None:
    failing = report(see(heard(opened(cause=Cause.THROTTLED, since=MOMENT - 5))))
    well = report(see(heard(), after=10), failing, after=10)

    assert provider_of(well).state == "Closed"
    assert provider_of(well).since == "2026-03-02T12:00:10Z"
    assert provider_of(well).last_error == (
        "2026-03-02T11:59:55Z: it wants fewer requests (429), so workers leave it alone for a while"
    )


def test_a_request_that_failed_is_the_last_error_although_its_provider_is_left_in_use() -> None:
    """Four requests in ten fail and no breaker opens: somebody will want to know what they came to."""
    slow = word(requests=9, errors=4, problem="APITimeoutError", problem_at=MOMENT - 40)
    status = report(see(heard(slow)))
    later = report(see(heard(word(requests=12, errors=5, problem="APIStatusError 503", problem_at=MOMENT - 7))), status)

    assert provider_of(status).state == "Closed"
    assert provider_of(status).last_error == "2026-03-02T11:59:20Z: a request failed: no answer in time"
    assert provider_of(later).last_error == "2026-03-02T11:59:53Z: a request was answered 503"
    assert provider_of(with_old_figures(later, status)).last_error == provider_of(status).last_error


def test_why_a_breaker_is_open_is_told_with_what_the_last_request_came_to() -> None:
    down = opened(since=MOMENT - 5, problem="APIStatusError 503", problem_at=MOMENT - 5)

    assert provider_of(report(see(heard(down)))).last_error == (
        "2026-03-02T11:59:55Z: requests failed, so workers leave it alone for a while; last, a request was answered 503"
    )


def test_that_a_key_was_refused_is_still_told_with_its_secret_when_it_is_replaced() -> None:
    told = report(see(heard(refused(since=MOMENT - 5))))
    well = report(see(heard(word(problem="APIStatusError 401", problem_at=MOMENT - 5))), told)

    assert "Secret voice/deepgram, key api-key" in provider_of(well).last_error


def test_a_standby_that_no_worker_can_build_is_not_counted_as_well() -> None:
    status = report(see(heard(word(is_missing=True))))

    assert status.healthy == "2/3"
    assert provider_of(status).state == "PluginMissing"
    assert "the workers' image has no plugin 'deepgram'" in says_of(status, "Ready")[1]


def test_a_state_keeps_its_beginning_while_it_lasts() -> None:
    first = report(see(heard(opened(since=MOMENT - 60))))
    later = report(see(heard(opened(since=MOMENT - 3))), first, after=9)

    assert provider_of(later).since == "2026-03-02T11:59:00Z"
    assert later.conditions == first.conditions


@pytest.mark.parametrize("since", [0.0, 1.0, MOMENT + 60, 1e11])
def test_a_beginning_that_cannot_be_is_not_believed(since: float) -> None:
    assert provider_of(report(see(heard(opened(since=since))))).since == "2026-03-02T12:00:00Z"


def test_figures_are_in_the_status_with_two_digits_and_within_its_bounds() -> None:
    used = word(requests=309, errors=3, in_use=2**40, latency=latencies(*[0.35] * 290, *[0.95] * 7))
    ledger = ledger_of(("a", 0, says(word(requests=9))), ("a", 1, says(used)))
    said = provider_of(report(see(ledger, after=1), after=1))

    assert (said.in_use, said.quota, said.error_fraction) == (1_000_000, 100, 0.01)
    assert (said.p50_milliseconds, said.p95_milliseconds) == (400, 400)


def test_figures_alone_do_not_make_a_new_word_and_a_new_state_brings_new_figures() -> None:
    before = report(see(heard(word(in_use=3, requests=9))))
    busier = report(see(heard(word(in_use=7, requests=9))), before, after=1)
    broken = report(see(heard(opened(in_use=7))), before, after=1)

    assert provider_of(busier).in_use == 7
    assert with_old_figures(busier, before) == before
    assert with_old_figures(broken, before) == broken


def test_a_pool_that_is_used_waits_and_names_whom_for() -> None:
    users = [User("voice", name) for name in ("a", "b", "c", "d", "e")]
    status = report(see(heard(), leaving(pool()), *users))

    assert says_of(status, "Stalled") == (
        "True InUse",
        (
            "the ProviderPool is being deleted, but 5 VoiceAgents use it: voice/a, voice/b, voice/c and 2 more. "
            "Delete them, or name another pool in their spec.providerPoolRef; it goes with the last of them"
        ),
    )
    assert says_of(status, "Ready")[0] == "True Ready"
    assert status.summary == "being deleted, held back by 5 VoiceAgents; 3 of 3 providers well"


def test_a_pool_whose_users_are_all_on_their_way_needs_nobodys_help() -> None:
    status = report(see(heard(), leaving(pool()), User("voice", "desk", is_leaving=True)))

    assert says_of(status, "Stalled")[0] == "False AsWanted"
    assert says_of(status, "Reconciling") == (
        "True InUse",
        "the ProviderPool is being deleted, and goes with the last VoiceAgent that uses it: voice/desk",
    )
    assert status.summary == "being deleted, held back by 1 VoiceAgent; 3 of 3 providers well"


@pytest.mark.parametrize(
    ("finalizers", "users", "is_leaving", "wanted"),
    [
        ([], [DESK], False, (POOL_FINALIZER,)),
        (["other"], [DESK], False, ("other", POOL_FINALIZER)),
        ([POOL_FINALIZER], [DESK], False, None),
        ([POOL_FINALIZER], [DESK], True, None),
        ([POOL_FINALIZER, "other"], [], True, ("other",)),
        ([POOL_FINALIZER], [], False, ()),
        ([], [], False, None),
        ([], [DESK], True, None),
    ],
)
def test_who_is_used_is_held_and_who_is_not_is_let_go(
    finalizers: list[str], users: list[User], *, is_leaving: bool, wanted: tuple[str, ...] | None
) -> None:
    assert plan_pool_finalizers(finalizers, users, is_leaving=is_leaving) == wanted


def test_no_message_is_longer_than_a_status_takes() -> None:
    spec = pool().spec.providers[0].model_dump(by_alias=True, exclude_none=True)
    names = [f"{'x' * 55}-{number:02d}" for number in range(60)]
    others = [each.model_dump(by_alias=True, exclude_none=True) for each in pool().spec.providers]
    many = pool(
        providers=[*others, *(spec | {"name": name, "apiKey": {"name": "s" * 250, "key": "k"}} for name in names)]
    )
    ledger = ledger_of(("a", 0, says(*map(refused, names))))

    status = report(see(ledger, many))

    assert ProviderPoolStatus.model_validate(status.model_dump(by_alias=True)) == status
    assert datetime.fromisoformat(status.conditions[0].last_transition_time) == NOW.astimezone(UTC)
    assert says_of(status, "CredentialsAccepted")[0] == f"False {Reason.CREDENTIALS_REFUSED}"


def test_what_nothing_acts_on_is_named() -> None:
    used = {"name": "used", "trunkId": "ST_1", "direction": "Outbound"}
    wished = {"name": "wished", "address": "sip.example.com", "countries": ["DE"], "transport": "Auto"}
    plain = pool().model_dump(mode="json", by_alias=True, exclude_unset=True)

    def ready(**more: Any) -> str:
        of = ProviderPool.model_validate({**plain, "spec": {**plain["spec"], **more}})
        return says_of(report(see(heard(), of)), "Ready")[1]

    words = "every job has a provider that is well"
    assert ready(trunks=[used]) == words
    fields = "spec.trunks[wished].address, spec.trunks[wished].countries"
    gaps = f"{words}; this version does not act on {fields}"
    assert ready(trunks=[used, wished]) == gaps
