"""Bad input is one line and exit status 2."""

import asyncio
import copy
import hashlib
import json
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.worker.files import AGENT, POOL, SECRET_VALUE, Mounted
from voicefleet.last_words import quotable
from voicefleet.names import ENV_POD_UID
from voicefleet.providers.lineup import Lineup
from voicefleet_worker import run as running
from voicefleet_worker.flags import DEFAULT_SECRETS, DEFAULT_TOKEN_FILE, Flags
from voicefleet_worker.main import BAD_INPUT, main
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.providers import check_options, without_strangers
from voicefleet_worker.settings import load_settings


@pytest.fixture(autouse=True)
def _nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicefleet_worker.main.begin_loading", lambda *_: None)
    monkeypatch.setattr("voicefleet_worker.main.settle_environment", lambda: None)


def changed(manifest: dict[str, Any], *path: str | int, value: object) -> dict[str, Any]:
    body = copy.deepcopy(manifest)
    inner: Any = body
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return body


LOOKUP = {"url": "https://crm.example.com/", "responseSchema": {"type": "objekt"}}
CASES = [
    pytest.param(
        "agent.json",
        changed(AGENT, "spec", "variables", "lookup", value=LOOKUP),
        ["spec.variables.lookup.responseSchema", "no JSON schema", "objekt"],
        id="a look-up whose answers nobody can check",
    ),
    pytest.param("agent.json", "{", ["agent.json", "not valid YAML or JSON", "line 1"], id="malformed"),
    pytest.param("agent.json", "a: b: c", ["agent.json", "line 1"], id="malformed YAML"),
    pytest.param("agent.json", "- 1", ["agent.json", "expected an object", "list"], id="a list"),
    pytest.param("agent.json", "", ["agent.json", "found nothing"], id="empty"),
    pytest.param("agent.json", POOL, ["agent.json", "kind", "expected VoiceAgent", "ProviderPool"], id="swapped"),
    pytest.param("pool.json", AGENT, ["pool.json", "kind", "expected ProviderPool"], id="swapped the other way"),
    pytest.param(
        "agent.json",
        changed(AGENT, "spec", "worker", "sessionsPerWorker", value="many"),
        ["agent.json", "spec.worker.sessionsPerWorker", "integer"],
        id="wrong type",
    ),
    pytest.param(
        "agent.json",
        changed(AGENT, "spec", "voice", value={"realtime": {}}),
        ["pool.json", "spec.providers", "role Realtime"],
        id="nobody does it all",
    ),
    pytest.param(
        "pool.json",
        changed(POOL, "spec", "providers", 0, "plugin", value="google"),
        ["pool.json", "spec.providers[deepgram].baseUrl", "google has no other address"],
        id="an address that the plugin would ignore",
    ),
    pytest.param(
        "pool.json",
        changed(POOL, "spec", "providers", 1, "options", value={"temprature": "1"}),
        ["pool.json", "spec.providers[openai].options.temprature", "no option"],
        id="a mistyped option",
    ),
    pytest.param("secrets/openai/api-key", " \n", ["secrets/openai/api-key", "empty"], id="empty secret"),
    pytest.param("token", "", ["token", "empty"], id="empty token"),
]


@pytest.mark.parametrize(("name", "body", "said"), CASES)
def test_bad_input_is_one_line(
    mounted: Mounted, capsys: pytest.CaptureFixture[str], name: str, body: object, said: list[str]
) -> None:
    mounted.write(name, body)

    assert main(mounted.arguments) == BAD_INPUT

    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in said), line
    assert SECRET_VALUE not in line


def test_bad_input_is_left_where_the_kubelet_looks_and_nowhere_else(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looked_at = mounted.folder / "termination-log"
    looked_at.touch()
    monkeypatch.setattr("voicefleet_worker.main.LAST_WORDS_FILE", str(looked_at))
    mounted.write("pool.json", changed(POOL, "spec", "providers", 1, "options", value={"temprature": "1"}))

    assert main(mounted.arguments) == BAD_INPUT
    assert looked_at.read_text() == capsys.readouterr().err
    assert quotable(looked_at.read_text()).endswith("temprature is no option of openai for role Llm")

    looked_at.unlink()
    assert main(mounted.arguments) == BAD_INPUT
    assert not looked_at.exists()


@pytest.mark.parametrize("name", ["agent.json", "pool.json", "token", "secrets/livekit/api-secret"])
def test_a_missing_file_is_named(mounted: Mounted, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (mounted.folder / name).unlink()

    assert main(mounted.arguments) == BAD_INPUT
    assert f"{mounted.folder / name}: " in capsys.readouterr().err


def test_help_and_version_read_well(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, said in (("--help", "/etc/voicefleet/spec/agent.json"), ("--version", "voicefleet-worker 0.")):
        with pytest.raises(SystemExit) as ended:
            main([flag])
        assert ended.value.code == 0
        assert said in capsys.readouterr().out


def test_yaml_with_a_date_is_read_as_text(mounted: Mounted) -> None:
    mounted.write(
        "agent.json",
        "kind: VoiceAgent\nmetadata: {name: a, creationTimestamp: 2026-01-01T00:00:00Z}\n"
        "spec: {providerPoolRef: {name: p}, agents: [{name: a, instructions: x}]}\n",
    )

    assert load_settings(mounted.flags, {}).plan.dispatch_name == "default.a"


def test_the_environment_wins_over_the_files(mounted: Mounted) -> None:
    for key in ("api-key", "api-secret"):
        (mounted.folder / "secrets/livekit" / key).unlink()
    environment = {
        "LIVEKIT_URL": "ws://other",
        "LIVEKIT_API_KEY": "k",
        "LIVEKIT_API_SECRET": "hush",
        "LOG_LEVEL": "debug",
        "VOICEFLEET_REVISION": "r2",
    }

    settings = load_settings(mounted.flags, environment)

    assert (settings.livekit.url, settings.livekit.api_secret) == ("ws://other", "hush")
    assert (settings.log_level, settings.revision) == (10, "r2")
    assert "hush" not in repr(settings)


def test_the_environment_has_its_own_wishes_of_models(mounted: Mounted) -> None:
    wishes = {"STT_MODEL": "nova-2", "LLM_MODEL": "gpt-5", "TTS_MODEL": "sonic-2", "TTS_VOICE_ID": "v-9"}
    environment = {**wishes, "PLATFORM_API_URL": "https://crm.example.com/", "WORKER_NUM_IDLE_PROCESSES": "1"}

    settings = load_settings(mounted.flags, environment)

    plan, voice = settings.plan, settings.plan.entry.voice
    assert [lineup.first.model for lineup in voice.lineups] == ["nova-2", "gpt-5", "sonic-2"]
    assert voice.tts.first.voice == "v-9"
    assert plan.lookup is not None
    assert plan.lookup.url == "https://crm.example.com/"
    assert settings.idle_processes == 1
    with pytest.raises(BadInputError, match="WORKER_NUM_IDLE_PROCESSES"):
        load_settings(mounted.flags, {"WORKER_NUM_IDLE_PROCESSES": "many"})


@pytest.mark.parametrize("has_one", [False, True], ids=["instead of none", "in place of the spec's"])
def test_an_address_of_the_environment_that_is_none_is_named(mounted: Mounted, *, has_one: bool) -> None:
    if has_one:
        own = {"url": "https://crm.example.com/"}
        mounted.write("agent.json", changed(AGENT, "spec", "variables", "lookup", value=own))

    with pytest.raises(BadInputError, match="PLATFORM_API_URL: is no http or https address"):
        load_settings(mounted.flags, {"PLATFORM_API_URL": "crm.example.com"})


def test_files_say_the_rest(mounted: Mounted) -> None:
    settings = load_settings(mounted.flags, {})

    assert settings.plan.dispatch_name == "front.desk"
    assert (settings.revision, settings.slots, settings.idle_processes) == ("r1", 12, 4)
    assert settings.livekit.api_key == f"{SECRET_VALUE}-livekit"
    assert SECRET_VALUE not in repr(settings)
    assert [check_options(provider) for provider in settings.plan.providers] == [None, None, None]
    lineups = settings.plan.entry.voice.lineups
    assert [without_strangers(lineup) for lineup in lineups] == list(lineups)


def test_a_standby_whose_plugin_the_image_lacks_is_left_out(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "voicefleet_worker.providers.assemblyai", None)
    strange = {"name": "strange", "role": "Stt", "plugin": "assemblyai", "priority": 1}
    mounted.write("pool.json", changed(POOL, "spec", "providers", value=[strange, *POOL["spec"]["providers"]]))
    hearing = load_settings(mounted.flags, {}).plan.entry.voice.stt
    assert hearing.first.name == "strange"

    able = without_strangers(hearing)

    assert isinstance(able, Lineup)
    assert (able.first.name, [plan.name for plan in able.plans]) == ("deepgram", ["deepgram"])


KEYS = {f"{name}_API_KEY": f"{name.lower()}-1" for name in ("LIVEKIT", "DEEPGRAM", "OPENAI", "CARTESIA")}
AT_HAND = {**KEYS, "LIVEKIT_API_SECRET": "secret-1"}


def at_a_terminal(mounted: Mounted) -> Flags:
    """Return the flags of somebody who names the two files and nothing else."""
    return replace(mounted.flags, secrets=DEFAULT_SECRETS, control_token_file=DEFAULT_TOKEN_FILE, control_host="")


def test_outside_kubernetes_two_files_and_the_keys_are_enough(mounted: Mounted) -> None:
    settings = load_settings(at_a_terminal(mounted), AT_HAND)
    providers = {plan.name: plan.api_key for plan in settings.plan.providers}
    keys = {name: pickle.loads(pickle.dumps(settings.secrets)).read(ref) for name, ref in providers.items() if ref}  # noqa: S301

    assert keys == {"deepgram": "deepgram-1", "openai": "openai-1", "cartesia": "cartesia-1"}
    assert settings.livekit.api_secret == "secret-1"
    assert (settings.control_token_file, settings.control_host) == (None, "127.0.0.1")
    assert not [key for key in AT_HAND.values() if key in repr(settings)]


def test_a_key_that_is_nowhere_is_asked_for_by_the_name_of_its_variable(mounted: Mounted) -> None:
    with pytest.raises(BadInputError, match="set OPENAI_API_KEY, or give --secrets DIR with a file openai/api-key"):
        load_settings(at_a_terminal(mounted), {**AT_HAND, "OPENAI_API_KEY": " "})


@pytest.mark.parametrize("lacks", ["token", "keys"])
def test_a_pod_does_not_start_without_what_the_operator_mounts(mounted: Mounted, lacks: str) -> None:
    token_file, secrets = mounted.flags.control_token_file, mounted.flags.secrets
    at_hand = {"secrets": secrets} if lacks == "token" else {"control_token_file": token_file}
    flags = replace(at_a_terminal(mounted), **at_hand)
    with pytest.raises(BadInputError, match="token" if lacks == "token" else "secret cannot be read"):
        load_settings(flags, {**AT_HAND, ENV_POD_UID: "uid-1"})


def test_an_unknown_log_level_is_refused(mounted: Mounted) -> None:
    with pytest.raises(BadInputError, match="LOG_LEVEL"):
        load_settings(mounted.flags, {"LOG_LEVEL": "loud"})


def test_a_worker_that_is_told_to_go_while_it_loads_goes(mounted: Mounted) -> None:
    """As the first process of a container it would otherwise miss the signal, and take calls until it is killed."""
    told = "import signal, sys; from voicefleet_worker import main as m, settings; m.begin_loading = lambda *_: None; "
    told += "settings.load_settings = lambda *_: signal.raise_signal(signal.SIGTERM); sys.exit(m.main(sys.argv[1:]))"

    done = subprocess.run(
        [sys.executable, "-c", told, *mounted.arguments], capture_output=True, check=False, timeout=30
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_names_that_nobody_resolves_leave_threads_for_offers_and_the_control_port(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a Redis whose name servers are away twenty lookups hang at once."""

    async def hold(*_: object) -> int:
        loop, answered = asyncio.get_running_loop(), threading.Event()
        lookups = [loop.run_in_executor(None, answered.wait) for _ in range(30)]
        try:
            async with asyncio.timeout(2):
                return await asyncio.to_thread(lambda: 7)
        finally:
            answered.set()
            await asyncio.gather(*lookups)

    monkeypatch.setenv("LIVEKIT_TELEMETRY_ALLOW_PII", "0")
    monkeypatch.setattr(running, "set_up_logging", lambda _: None)
    monkeypatch.setattr(running, "_run", hold)

    assert running.run(load_settings(mounted.flags, {})) == 7


def test_a_worker_that_is_told_to_go_before_it_serves_sends_what_the_one_before_has_left(mounted: Mounted) -> None:
    journals = mounted.folder / "data" / "journals"
    journals.mkdir(parents=True)
    (journals / "AJ_1.journal").write_text("")
    told = """
import signal, sys
from voicefleet_worker import main, run
def sound_files(*_):
    signal.raise_signal(signal.SIGTERM)
    return {}
run.sound_files = sound_files
if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:]))
"""
    where = ["--data", str(mounted.folder / "data"), "--control-port", "0"]
    script = mounted.folder / "told.py"
    script.write_text(told)

    done = subprocess.run(
        [sys.executable, str(script), *mounted.arguments, *where], capture_output=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    sent = (mounted.folder / "data" / "records" / "calls-000001.jsonl").read_text()
    record = json.loads(sent)
    assert record["id"] == "AJ_1"
    assert record["agent"]["prompt"] == hashlib.sha256(b"Help {{name}}.").hexdigest()[:12], "which prompt it was"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group_leaves_the_fork_server_and_its_calls_alone(name: str) -> None:
    """Where the fork server dies, every job process looks dead too; and Ctrl-C reaches each of the group."""
    script = f"""
import json
import multiprocessing as mp, os, signal
from multiprocessing import forkserver

if __name__ == "__main__":
    # Whoever runs the tests in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["voicefleet_worker.deaf"])
    ours, theirs = context.Pipe()
    call = context.Process(target=exec, args=("pipe.send('up'); pipe.recv()", {{"pipe": theirs}}))
    call.start()
    ours.recv()
    for process in (forkserver._forkserver._forkserver_pid, call.pid):
        os.kill(process, signal.{name})
    call.join(0.5)
    print("alive" if call.is_alive() else "dead")
    call.kill()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)

    assert done.stdout == "alive\n", done.stderr


def test_a_spec_that_is_wrong_is_told_at_once_and_nothing_goes_on_loading(mounted: Mounted) -> None:
    mounted.write("agent.json", "{")
    told = "import sys, time; from voicefleet_worker import main as m; from multiprocessing import forkserver; "
    told += "status = m.main(sys.argv[1:]); process = forkserver._forkserver._forkserver_pid; "
    told += "import os; print(status, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))"

    done = subprocess.run(
        [sys.executable, "-c", told, *mounted.arguments], capture_output=True, text=True, check=False, timeout=30
    )

    assert done.stdout == f"2 {-signal.SIGKILL}\n", done.stderr


FROM_ELSEWHERE = [{"name": "desk", "instructionsFrom": {"name": "prompts", "key": "desk"}}]


def test_instructions_are_read_from_where_the_spec_says(mounted: Mounted) -> None:
    mounted.write("agent.json", changed(AGENT, "spec", "agents", value=FROM_ELSEWHERE))
    (mounted.folder / "texts" / "prompts").mkdir(parents=True)
    mounted.write("texts/prompts/desk", "Be kind to {{name}}.")

    assert load_settings(mounted.flags, {}).plan.entry.instructions == "Be kind to {{name}}."


@pytest.mark.parametrize("text", [None, " \n"], ids=["missing", "empty"])
def test_an_agent_that_is_told_nothing_does_not_start(mounted: Mounted, text: str | None) -> None:
    mounted.write("agent.json", changed(AGENT, "spec", "agents", value=FROM_ELSEWHERE))
    (mounted.folder / "texts" / "prompts").mkdir(parents=True)
    if text is not None:
        mounted.write("texts/prompts/desk", text)

    with pytest.raises(BadInputError, match="texts/prompts/desk"):
        load_settings(mounted.flags, {})


def test_what_every_calls_process_imports_anew_is_little() -> None:
    """They are forked from a process that has it all, but begin with what the program began with: this module."""
    told = "import sys, voicefleet_worker.calls.entry; before = set(sys.modules); "
    told += "import voicefleet_worker.main; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()

    assert set(loaded) == {"voicefleet_worker.main", "voicefleet_worker.flags"}


def test_a_worker_that_has_left_ends_with_its_status_and_is_not_taken_apart() -> None:
    """Uploads are brought by threads of Rust, and one that comes meanwhile would abort the process."""
    lines = (
        "import atexit, voicefleet_worker.main as worker",
        "atexit.register(print, 'taken apart')",
        "worker.main = lambda: print('last words') or 3",
        "worker.program()",
    )
    ended = subprocess.run([sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "last words\n", "")
