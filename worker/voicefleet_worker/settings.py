"""What a worker is started with: flags, environment and files, read once."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.providerpool.connections import LiveKit
from voicefleet.api.voiceagent.agents import Lookup
from voicefleet.conversation.dialogue import DEFAULT_NAMESPACE, DialoguePlan, DialogueProblem, plan_dialogue
from voicefleet.job_memory import job_memory_limit_mebibytes
from voicefleet.names import ENV_POD_UID, ENV_REVISION, LABEL_REVISION, WRITABLE_DIRECTORY, health_key
from voicefleet.providers.lineup import Lineup, with_wishes
from voicefleet_worker.access.livekit_access import KeySource, LiveKitAccess
from voicefleet_worker.access.secret_files import SecretFiles, SecretsAtHand, check_keys, read_secret
from voicefleet_worker.access.spec_files import load_agent, load_pool, with_texts
from voicefleet_worker.flags import DEFAULT_SECRETS, DEFAULT_TOKEN_FILE, LOG_LEVELS, Flags
from voicefleet_worker.keeping.settings import KeepingSettings, load_keeping
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.sharing.ledger import RedisAccess, redis_access


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a running worker goes by."""

    plan: DialoguePlan
    pool_file: Path
    data: Path | None
    """Where the worker keeps what must outlive its process; without one it keeps it while it runs."""
    livekit: LiveKitAccess
    redis: RedisAccess | None
    """Where it shares with others what it knows of providers."""
    secrets: SecretFiles
    control_token_file: Path | None
    control_host: str
    control_port: int
    log_level: int
    revision: str
    pod_uid: str
    slots: int
    idle_processes: int
    drain_grace_seconds: int
    job_memory_limit_mebibytes: int
    trace_content: bool
    """Whether spans may hold what is said."""
    keeping: KeepingSettings
    missing_providers: frozenset[str] = frozenset()
    """Those of the pool's that this image has no plugin for."""


def load_settings(flags: Flags, environment: Mapping[str, str]) -> Settings:
    """Read every file that the worker needs and refuse at once what would fail in the first call."""
    agent = load_agent(flags.spec)
    pool = load_pool(flags.pool)
    plan = as_wished(_plan(agent, pool, flags), environment)
    secrets = _secrets(flags.secrets, environment)
    check_keys(plan, secrets)
    token_file = _token_file(flags.control_token_file, environment)
    worker = agent.spec.worker
    return Settings(
        plan=with_texts(plan, flags.texts),
        pool_file=flags.pool,
        data=flags.data or _own_volume(),
        livekit=_livekit(pool.spec.livekit, secrets, environment),
        redis=redis_access(pool.spec.redis, secrets, key=health_key(_namespace(agent, pool), pool.metadata.name)),
        secrets=secrets,
        control_token_file=token_file,
        # What nobody may steer from elsewhere nobody has to reach from there.
        control_host=flags.control_host or ("" if token_file else "127.0.0.1"),
        control_port=flags.control_port,
        log_level=_log_level(flags.log_level or environment.get("LOG_LEVEL") or worker.log_level),
        revision=environment.get(ENV_REVISION) or (agent.metadata.labels or {}).get(LABEL_REVISION, ""),
        pod_uid=environment.get(ENV_POD_UID, ""),
        slots=worker.sessions_per_worker,
        idle_processes=_idle_processes(
            _whole_number(environment, "WORKER_NUM_IDLE_PROCESSES", worker.idle_processes),
            slots=worker.sessions_per_worker,
        ),
        drain_grace_seconds=worker.drain_grace_seconds,
        job_memory_limit_mebibytes=job_memory_limit_mebibytes(worker),
        trace_content=agent.spec.data_protection.trace_content,
        keeping=load_keeping(worker, environment),
    )


def _livekit(server: LiveKit, secrets: SecretFiles, environment: Mapping[str, str]) -> LiveKitAccess:
    key, secret = environment.get("LIVEKIT_API_KEY"), environment.get("LIVEKIT_API_SECRET")
    return LiveKitAccess(
        url=environment.get("LIVEKIT_URL") or server.url,
        api_key=key or secrets.read(server.api_key),
        api_secret=secret or secrets.read(server.api_secret),
        source=KeySource(secrets, None if key else server.api_key, None if secret else server.api_secret),
    )


def _secrets(directory: Path, environment: Mapping[str, str]) -> SecretFiles:
    """Return where keys are read: in the files of a pod, or of whoever names a folder, and else in the environment."""
    if _is_pod(environment) or directory != DEFAULT_SECRETS:
        return SecretFiles(directory)
    return SecretsAtHand(directory, dict(environment), has_files=directory.is_dir())


def _token_file(path: Path, environment: Mapping[str, str]) -> Path | None:
    """Return where the control port's token is read; outside a cluster nobody needs one."""
    if not _is_pod(environment) and path == DEFAULT_TOKEN_FILE and not path.exists():
        return None
    read_secret(path)
    return path


def _is_pod(environment: Mapping[str, str]) -> bool:
    return bool(environment.get(ENV_POD_UID))


def _plan(agent: VoiceAgent, pool: ProviderPool, flags: Flags) -> DialoguePlan:
    plan = plan_dialogue(agent, pool)
    if isinstance(plan, DialogueProblem):
        path = flags.spec if plan.source == "agent" else flags.pool
        raise BadInputError(str(path), plan.message, plan.field)
    return plan


def as_wished(plan: DialoguePlan, environment: Mapping[str, str]) -> DialoguePlan:
    """Return the plan with models, voice and look-up as the environment wants them: the field's own names for them."""
    url = environment.get("PLATFORM_API_URL")
    lookup = _lookup_at(url, plan.lookup) if url else plan.lookup

    def as_wished(lineup: Lineup) -> Lineup:
        role = lineup.need.role
        voice = environment.get("TTS_VOICE_ID") if role == "Tts" else None
        return with_wishes(lineup, model=environment.get(f"{role.upper()}_MODEL"), voice=voice)

    return replace(plan, lookup=lookup).with_voices(lambda voice: voice.changed(as_wished))


def _lookup_at(url: str, wanted: Lookup | None) -> Lookup:
    try:
        there = Lookup(url=url)
    except ValidationError:
        # Not the address itself: it may hold a key.
        raise BadInputError("PLATFORM_API_URL", "is no http or https address without user and password") from None
    return there if wanted is None else wanted.model_copy(update={"url": url})


def _whole_number(environment: Mapping[str, str], name: str, otherwise: int | None) -> int | None:
    text = environment.get(name)
    if not text:
        return otherwise
    if not text.isdecimal():
        raise BadInputError(name, f"{text[:20]!r} is not a whole number")
    return int(text)


def _own_volume() -> Path | None:
    """Return the volume that a pod brings, if this is one."""
    volume = Path(WRITABLE_DIRECTORY)
    return volume if volume.is_dir() and os.access(volume, os.W_OK) else None


def _namespace(agent: VoiceAgent, pool: ProviderPool) -> str:
    """Return where the pool is: beside the agent, unless it says otherwise."""
    return pool.metadata.namespace or agent.metadata.namespace or DEFAULT_NAMESPACE


def _idle_processes(wanted: int | None, *, slots: int) -> int:
    """Keep up to four warm: each costs 8 MB of its own, and a new one is ready within a tenth of a second."""
    return min(slots, 4) if wanted is None else min(slots, wanted)


def _log_level(name: str) -> int:
    if name.lower() not in LOG_LEVELS:
        raise BadInputError("LOG_LEVEL", f"{name[:20]!r} is not one of {', '.join(LOG_LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]
