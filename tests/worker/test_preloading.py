"""What the process has loaded from which those of calls are forked."""

import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import worker as sdk

from tests.worker.files import AGENT, Mounted
from voicefleet.dialogue import DialoguePlan
from voicefleet_worker import preloading
from voicefleet_worker.settings import load_settings

ORDERS = {"name": "orders", "description": "d", "mcp": {"url": "https://orders.example.com/mcp"}}


def planned(mounted: Mounted, *tools: dict[str, Any]) -> DialoguePlan:
    spec = {**AGENT["spec"], "tools": tools}
    spec["agents"] = [{**AGENT["spec"]["agents"][0], "tools": [tool["name"] for tool in tools]}]
    mounted.write("agent.json", {**AGENT, "spec": spec})
    return load_settings(mounted.flags, {}).plan


def test_calls_find_loaded_what_they_need_and_no_more(mounted: Mounted) -> None:
    plain, with_mcp = preloading.modules_of(planned(mounted)), preloading.modules_of(planned(mounted, ORDERS))

    assert plain[:5] == [
        *("voicefleet_worker.deaf", "voicefleet_worker.entry"),
        *(f"voicefleet_worker.providers.{name}" for name in ("cartesia", "deepgram", "openai")),
    ]
    assert set(with_mcp) - set(plain) == {"livekit.agents.llm.mcp"}


def test_the_sdk_finds_running_what_it_would_have_started(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    wanted: list[str] = []
    monkeypatch.setattr(preloading.forkserver, "set_forkserver_preload", wanted.extend)
    monkeypatch.setattr(preloading.forkserver, "ensure_running", lambda: started.append(list(wanted)))
    preloading.begin_loading(planned(mounted))

    (loaded,) = started
    source = Path(sdk.__file__).read_text()
    assert loaded[-2:] == ["livekit.agents.ipc._preload", "livekit.agents.ipc._preload_freeze"]
    assert all(f'"{name}"' in source for name in loaded[-2:]), "the SDK loads something else"


@pytest.mark.parametrize(("system", "certificates"), [(None, True), ("/etc/ssl/cert.pem", False)])
def test_without_certificates_of_the_system_calls_use_those_that_come_along(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch, system: str | None, *, certificates: bool
) -> None:
    paths = ssl.DefaultVerifyPaths(system, None, "", "", "", "")
    monkeypatch.setattr(preloading.ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(preloading.forkserver, "set_forkserver_preload", lambda _: None)
    monkeypatch.setattr(preloading.forkserver, "ensure_running", lambda: None)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    preloading.begin_loading(planned(mounted))

    assert ("SSL_CERT_FILE" in os.environ) is certificates
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


def test_nothing_of_the_sdk_is_loaded_before() -> None:
    told = "import sys, voicefleet_worker.preloading, voicefleet_worker.settings; print('livekit' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", told], capture_output=True, check=True).stdout == b"False\n"
