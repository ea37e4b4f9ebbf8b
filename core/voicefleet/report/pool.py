"""The status of a ProviderPool: how its providers are, who uses it, and what a person should do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from voicefleet.api import ProviderPool
from voicefleet.api.providerpool.status import ProviderPoolStatus, ProviderStatus, TrunkStatus
from voicefleet.api.types import timestamp
from voicefleet.names import Reason
from voicefleet.providers.alone import Sharing
from voicefleet.providers.fleet_view import ProviderView
from voicefleet.providers.gaps import gaps_in
from voicefleet.providers.users import PoolSeen, User, name_some
from voicefleet.report.conditions import Standing, Statement, build_conditions, stalled, with_gaps
from voicefleet.wording import plural

_LONGEST_SUMMARY = 256
_LONGEST_ERROR = 512
_MOST_COUNTED = 1_000_000
_PIPELINE = ("Stt", "Llm", "Tts")
_KINDS = {"APITimeoutError": "no answer in time", "APIConnectionError": "no connection, or one that broke"}
"""What the workers' words for errors mean; others are understood as they are."""
_KEY_REFUSED = (" 401", " 403")
# A worker whose clock is off by more than this is not believed about when something began.
_OLDEST = timedelta(days=30)
_REST = Statement("True", Reason.AS_WANTED)


def report_pool(seen: PoolSeen, before: ProviderPoolStatus, *, now: datetime) -> ProviderPoolStatus:
    """Return the whole status of a pool; what was said before tells since when things hold."""
    generation = seen.pool.metadata.generation
    known = {provider.name: provider for provider in before.providers}
    providers = tuple(_provider(view, known.get(view.provider.name), now) for view in seen.views)
    more = {"CredentialsAccepted": _credentials(seen), "ReferencesResolved": _references(seen)}
    standing = _standing(seen, providers, more)
    return ProviderPoolStatus(
        observed_generation=generation,
        conditions=build_conditions(standing, before.conditions, generation=generation, now=now, more=more),
        summary=_summarise(seen)[:_LONGEST_SUMMARY],
        healthy=_count_healthy(seen.views),
        agents=len(seen.users),
        providers=providers,
        trunks=tuple(TrunkStatus(name=trunk.name) for trunk in seen.pool.spec.trunks),
    )


def report_invalid_pool(
    before: ProviderPoolStatus, message: str, *, generation: int | None, now: datetime
) -> ProviderPoolStatus:
    """Return the status of a pool whose spec this version cannot read."""
    standing = stalled(Reason.INVALID, f"{message}. Correct the spec.")
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": build_conditions(standing, before.conditions, generation=generation, now=now),
            "summary": "spec is not valid",
        }
    )


def with_old_figures(status: ProviderPoolStatus, before: ProviderPoolStatus) -> ProviderPoolStatus:
    """Return a status with the figures of the one before, unless some provider's state has changed.

    Figures change all the time, and each write costs the apiserver more than a reader gains by it.
    """
    known = {provider.name: provider for provider in before.providers}
    if [(each.name, each.state) for each in status.providers] != [(each.name, each.state) for each in before.providers]:
        return status
    kept = ("in_use", "p50_milliseconds", "p95_milliseconds", "error_fraction", "last_error")
    providers = tuple(
        each.model_copy(update={name: getattr(known[each.name], name) for name in kept}) for each in status.providers
    )
    return status.model_copy(update={"providers": providers})


def _provider(view: ProviderView, before: ProviderStatus | None, now: datetime) -> ProviderStatus:
    provider, fraction = view.provider, view.recent.error_fraction
    known_since = before.since if before is not None and before.state == view.state else None
    since = known_since or _since(view, now)
    last_error = _last_error(view, since, now) or (before.last_error if before is not None else "")
    return ProviderStatus(
        name=provider.name,
        state=view.state,
        in_use=min(view.in_use, _MOST_COUNTED),
        quota=provider.quota.concurrent if provider.quota else None,
        p50_milliseconds=view.p50_milliseconds,
        p95_milliseconds=view.p95_milliseconds,
        error_fraction=None if fraction is None else float(f"{fraction:.2g}"),
        last_error=last_error[:_LONGEST_ERROR],
        since=since,
    )


def _last_error(view: ProviderView, since: str, now: datetime) -> str:
    """Say what went wrong last: why the state is what it is, or a request that failed without such consequences."""
    if view.trouble:
        last = f"; last, {_problem(view)}" if view.problem and view.state in ("Open", "HalfOpen") else ""
        return f"{since}: {_trouble(view)}{last}"
    # That a key was refused is said with the Secret that it is in.
    is_told = not view.problem or view.problem.endswith(_KEY_REFUSED)
    return "" if is_told else f"{_moment(view.problem_at, now)}: {_problem(view)}"


def _since(view: ProviderView, now: datetime) -> str:
    """Return when a state began that was not there before."""
    return _moment(view.began_at, now)


def _moment(at: float, now: datetime) -> str:
    """Return a moment by the workers' word, if that can be true, and this one otherwise."""
    earliest = (now - _OLDEST).timestamp()
    return timestamp(datetime.fromtimestamp(at, UTC) if earliest <= at <= now.timestamp() else now)


def _problem(view: ProviderView) -> str:
    """Say what a request came to that failed."""
    kind, _, status = view.problem.partition(" ")
    return f"a request was answered {status}" if status else f"a request failed: {_KINDS.get(kind, kind)}"


def _trouble(view: ProviderView) -> str:
    """Say what is wrong with a provider, and in which Secret its key is if that is what is wrong."""
    ref = view.provider.api_key
    if view.state != "CredentialsRefused":
        return view.trouble
    if ref is None:
        return f"{view.trouble}: none is sent, since the pool names none"
    return f"{view.trouble} of {name_some([_secret(namespace, view) for namespace in view.refused_in])}"


def _secret(namespace: str, view: ProviderView) -> str:
    ref = view.provider.api_key
    return f"Secret {namespace}/{ref.name}, key {ref.key}" if ref else ""


def _credentials(seen: PoolSeen) -> Statement:
    refused = [_refusal(view) for view in seen.views if view.state == "CredentialsRefused"]
    refused += sorted({user.livekit_refuses for user in seen.users if user.livekit_refuses})
    if refused:
        return Statement("False", Reason.CREDENTIALS_REFUSED, "; ".join(refused))
    if any(view.has_answered for view in seen.views):
        return _REST
    return Statement("Unknown", Reason.NOTHING_KNOWN, "no call has used a key yet; probes carry none")


def _refusal(view: ProviderView) -> str:
    name, role, ref = view.provider.name, view.provider.role, view.provider.api_key
    if ref is None:
        return f"provider {name!r} ({role}) wants a key (401 or 403): name its Secret in apiKey"
    where = name_some([_secret(namespace, view) for namespace in view.refused_in])
    return (
        f"provider {name!r} ({role}) refuses the key of {where} (401 or 403): "
        "put one there that it accepts, and workers take it up without a restart"
    )


def _references(seen: PoolSeen) -> Statement:
    missing = sorted({user.missing_secret for user in seen.users if user.missing_secret})
    if missing:
        return Statement("False", Reason.SECRET_MISSING, " ".join(missing))
    if seen.has_workers:
        return _REST
    words = "whether the Secrets exist shows when a worker starts: the operator itself cannot read them"
    return Statement("Unknown", Reason.NOTHING_KNOWN, words)


def _standing(seen: PoolSeen, providers: tuple[ProviderStatus, ...], more: dict[str, Statement]) -> Standing:
    ready = _ready(seen, {provider.name: provider for provider in providers})
    ready = _with_livekit(_with_those_alone(ready, seen.sharing), seen.users)
    standing = Standing(with_gaps(ready, gaps_in(seen.pool.spec)))
    for statement in (more["ReferencesResolved"], more["CredentialsAccepted"]):
        if statement.status == "False":
            standing = replace(standing, stalled=replace(statement, status="True"))
            break
    return _farewell(standing, seen.users) if seen.is_leaving else standing


def _farewell(standing: Standing, users: tuple[User, ...]) -> Standing:
    """Say who holds back a pool that is being deleted; only a person can make those go that are not on their way."""
    staying = [user for user in users if not user.is_leaving]
    if not staying:
        words = f"the ProviderPool is being deleted, and goes with the last VoiceAgent that uses it: {name_some(users)}"
        return replace(standing, reconciling=Statement("True", Reason.IN_USE, words if users else ""))
    words = (
        f"the ProviderPool is being deleted, but {_agents(len(staying))} it: {name_some(staying)}. "
        "Delete them, or name another pool in their spec.providerPoolRef; it goes with the last of them"
    )
    return replace(standing, stalled=Statement("True", Reason.IN_USE, words))


def _agents(count: int) -> str:
    return f"{count} VoiceAgent uses" if count == 1 else f"{count} VoiceAgents use"


def _jobs(pool: ProviderPool) -> list[str]:
    """Return the jobs that must be done: what there are providers for, and whatever it takes to talk at all."""
    roles = {provider.role for provider in pool.spec.providers if provider.enabled}
    needed = roles if "Realtime" in roles else roles | set(_PIPELINE)
    return [role for role in (*_PIPELINE, "Realtime") if role in needed]


def _ready(seen: PoolSeen, said: dict[str, ProviderStatus]) -> Statement:
    views = [view for view in seen.views if view.state != "Disabled"]
    by_job = {job: [view for view in views if view.provider.role == job] for job in _jobs(seen.pool)}
    open_jobs = {job: able for job, able in by_job.items() if not any(view.is_well for view in able)}
    lost = {job: able for job, able in open_jobs.items() if all(view.state != "Unknown" for view in able)}
    if lost:
        return Statement("False", Reason.NO_PROVIDER, "; ".join(_loss(job, able, said) for job, able in lost.items()))
    if open_jobs:
        jobs = ", ".join(open_jobs)
        words = f"whether any provider for {jobs} is well is not known: no call and no probe has reached one yet"
        return Statement("Unknown", Reason.NOTHING_KNOWN, words)
    unwell = [f"{view.provider.name} is {view.state}" for view in views if not view.is_well]
    words = "every job has a provider that is well"
    return Statement("True", Reason.READY, f"{words}; {name_some(unwell)}" if unwell else words)


def _with_those_alone(ready: Statement, sharing: Sharing) -> Statement:
    """Say who lacks the pool's Redis; calls go on without it, so it makes no pool unready."""
    if not sharing.alone:
        return ready
    they = "decides alone: it does" if sharing.alone == 1 else "decide alone: they do"
    words = f"{sharing.alone} of {sharing.workers} workers {they} not reach the pool's Redis"
    return replace(ready, message=f"{ready.message}; {words}")


def _with_livekit(ready: Statement, users: tuple[User, ...]) -> Statement:
    """Say whose workers do not reach LiveKit; others may, so it makes no pool unready."""
    cut_off = [str(user) for user in users if user.livekit_silent]
    if not cut_off:
        return ready
    return replace(ready, message=f"{ready.message}; workers of {name_some(cut_off)} cannot reach LiveKit")


def _loss(job: str, able: list[ProviderView], said: dict[str, ProviderStatus]) -> str:
    if not able:
        return f"no provider of role {job} is enabled"
    states = [
        f"{view.provider.name} is {view.state} since {said[view.provider.name].since} ({_trouble(view)})"
        for view in able
    ]
    return f"no provider of role {job} is well: {name_some(states)}"


def _count_healthy(views: tuple[ProviderView, ...]) -> str:
    enabled = [view for view in views if view.state != "Disabled"]
    known = any(view.state != "Unknown" for view in enabled)
    return f"{sum(view.is_well for view in enabled) if known else '?'}/{len(enabled)}"


def _summarise(seen: PoolSeen) -> str:
    enabled = [view for view in seen.views if view.state != "Disabled"]
    others = [f"{view.provider.name} {view.state}" for view in enabled if not view.is_well]
    words = f"{len(enabled) - len(others)} of {len(enabled)} providers well"
    livekit = ["LiveKit refuses the key"] if any(user.livekit_refuses for user in seen.users) else []
    livekit += ["LiveKit is not reached"] if any(user.livekit_silent for user in seen.users) else []
    users = plural(len(seen.users), "VoiceAgent")
    held = f"being deleted, held back by {users}; " if seen.is_leaving and seen.users else ""
    return "; ".join([held + words, *livekit, *([name_some(others)] if others else [])])
