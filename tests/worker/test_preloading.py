"""The process from which calls are forked: what it has loaded, and what it hands down to them."""

import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import JobProcess
from livekit.agents import worker as sdk

from tests.worker.files import AGENT, Mounted
from voicefleet_worker import environment, preloading
from voicefleet_worker.calls import entry
from voicefleet_worker.settings import Settings, load_settings

ORDERS = {"name": "orders", "description": "d", "mcp": {"url": "https://orders.example.com/mcp"}}
SPANS = "LIVEKIT_TELEMETRY_ALLOW_PII"
REACHED_BY = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process was told to load when it was started."""
    wanted: list[str] = []
    told: list[str] = []
    monkeypatch.setattr(preloading.forkserver, "set_forkserver_preload", wanted.extend)
    monkeypatch.setattr(preloading.forkserver, "ensure_running", lambda: told.extend(wanted))
    # Whatever is set here is taken back.
    for name in ("SSL_CERT_FILE", "LIVEKIT_DEV_MODE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return told


def begin(mounted: Mounted, *tools: dict[str, Any]) -> None:
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "tools": tools}})
    preloading.begin_loading(mounted.flags.spec, mounted.flags.pool)


def prepare_process(settings: Settings) -> None:
    setup = entry.CallSetup(settings.plan, settings.secrets, settings.livekit, trace_content=settings.trace_content)
    entry.prepare_process(setup, cast("JobProcess", SimpleNamespace(userdata={})))


def test_calls_find_loaded_what_their_pool_and_their_tools_need(mounted: Mounted, loaded: list[str]) -> None:
    begin(mounted)
    plain = list(loaded)
    loaded.clear()
    begin(mounted, ORDERS)

    assert plain[:5] == [
        *("voicefleet_worker.deaf", "voicefleet_worker.calls.entry"),
        *(f"voicefleet_worker.providers.{name}" for name in ("cartesia", "deepgram", "openai")),
    ]
    assert set(loaded) - set(plain) == {"livekit.agents.llm.mcp"}


def test_the_process_never_hears_an_interrupt_and_the_worker_hears_it_again(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited: list[object] = []
    monkeypatch.setattr(
        preloading.forkserver, "ensure_running", lambda: inherited.append(signal.getsignal(signal.SIGINT))
    )
    before = signal.getsignal(signal.SIGINT)
    begin(mounted)

    assert inherited == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is before


def test_yaml_is_glanced_at_like_json(tmp_path: Path, loaded: list[str]) -> None:
    (tmp_path / "agent.yaml").write_text("spec:\n  tools:\n    - name: a\n      mcp: {url: https://a.example.com}\n")
    (tmp_path / "pool.yaml").write_text(
        "spec:\n  providers:\n    - plugin: groq\n    - {name: x, plugin: unheard-of}\n"
    )
    preloading.begin_loading(tmp_path / "agent.yaml", tmp_path / "pool.yaml")

    assert "voicefleet_worker.providers.groq" in loaded
    assert "livekit.agents.llm.mcp" in loaded
    assert not [name for name in loaded if "unheard" in name]


def test_nothing_is_loaded_for_files_that_are_not_there(tmp_path: Path, loaded: list[str]) -> None:
    preloading.begin_loading(tmp_path / "agent.yaml", tmp_path / "pool.yaml")

    assert loaded == []


def test_a_glance_finds_what_a_close_look_finds(mounted: Mounted, loaded: list[str]) -> None:
    begin(mounted)
    plan = load_settings(mounted.flags, {}).plan

    assert set(preloading.modules_for({each.plugin for each in plan.providers}, mcp=False)) <= set(loaded)


def test_the_sdk_would_have_loaded_the_same(mounted: Mounted, loaded: list[str]) -> None:
    begin(mounted)
    source = Path(sdk.__file__).read_text()

    assert loaded[-2:] == ["livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze"]
    assert all(f'"{name}"' in source for name in loaded[-2:])


@pytest.mark.parametrize(("system", "certificates"), [(None, True), ("/etc/ssl/cert.pem", False)])
def test_without_certificates_of_the_system_calls_use_those_that_come_along(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch, system: str | None, *, certificates: bool
) -> None:
    paths = ssl.DefaultVerifyPaths(system, None, "", "", "", "")
    monkeypatch.setattr(preloading.ssl, "get_default_verify_paths", lambda: paths)
    begin(mounted)

    assert ("SSL_CERT_FILE" in os.environ) is certificates


def test_nothing_that_takes_time_is_loaded_before() -> None:
    told = "import sys, voicefleet_worker.main; print({'livekit', 'pydantic', 'redis', 'yaml'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", told], capture_output=True, check=True).stdout == b"set()\n"


def test_calls_reach_livekit_though_their_environment_is_older_than_the_files(settings: Settings) -> None:
    prepare_process(settings)
    access = settings.livekit

    assert [os.environ[name] for name in REACHED_BY] == [access.url, access.api_key, access.api_secret]


@pytest.mark.parametrize("allowed", [True, False])
def test_words_are_in_spans_only_if_the_spec_wants_it(mounted: Mounted, *, allowed: bool) -> None:
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "dataProtection": {"traceContent": allowed}}})
    settings = load_settings(mounted.flags, {})
    environment.settle_environment()
    assert os.environ[SPANS] == "0", "until the spec is read"
    prepare_process(settings)

    assert os.environ[SPANS] == ("1" if allowed else "0")


def test_what_would_make_the_worker_another_one_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_DEV_MODE", "1")
    environment.settle_environment()

    assert "LIVEKIT_DEV_MODE" not in os.environ
