"""A worker's mounted files, as the operator would mount them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicefleet_worker.flags import Flags

AGENT: dict[str, Any] = {
    "apiVersion": "voicefleet.dev/v1alpha1",
    "kind": "VoiceAgent",
    "metadata": {"name": "desk", "namespace": "front", "labels": {"voicefleet.dev/revision": "r1"}},
    "spec": {
        "providerPoolRef": {"name": "default"},
        "agents": [{"name": "desk", "instructions": "Help {{name}}.", "greeting": {"text": "Hello {{name}}!"}}],
        "variables": {"declared": [{"name": "name", "default": "there"}]},
        "worker": {"sessionsPerWorker": 12, "drainGraceSeconds": 600},
    },
}


def provider(name: str, role: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "plugin": name, "apiKey": {"name": name, "key": "api-key"}, **more}


POOL: dict[str, Any] = {
    "apiVersion": "voicefleet.dev/v1alpha1",
    "kind": "ProviderPool",
    "metadata": {"name": "default"},
    "spec": {
        "livekit": {
            "url": "ws://127.0.0.1:7880",
            "apiKey": {"name": "livekit", "key": "api-key"},
            "apiSecret": {"name": "livekit", "key": "api-secret"},
        },
        "providers": [
            provider("deepgram", "Stt", baseUrl="http://127.0.0.1:9/v1/listen"),
            provider("openai", "Llm", baseUrl="http://127.0.0.1:9/v1", model="gpt-4.1-mini"),
            provider("cartesia", "Tts", baseUrl="http://127.0.0.1:9", voice="v-1"),
        ],
    },
}
SECRET_VALUE = "sk-do-not-tell"


@dataclass(frozen=True, slots=True)
class Mounted:
    """The folder and the flags that point into it."""

    folder: Path

    @property
    def flags(self) -> Flags:
        return Flags(
            spec=self.folder / "agent.json",
            pool=self.folder / "pool.json",
            secrets=self.folder / "secrets",
            control_token_file=self.folder / "token",
            control_host="127.0.0.1",
            control_port=0,
            log_level=None,
            texts=self.folder / "texts",
        )

    @property
    def arguments(self) -> list[str]:
        flags = self.flags
        return [
            *("--spec", str(flags.spec), "--pool", str(flags.pool), "--secrets", str(flags.secrets)),
            *("--control-token-file", str(flags.control_token_file), "--control-port", "0"),
            *("--control-host", "127.0.0.1"),
        ]

    def write(self, name: str, body: object) -> None:
        (self.folder / name).write_text(body if isinstance(body, str) else json.dumps(body))


def mount(folder: Path) -> Mounted:
    mounted = Mounted(folder)
    mounted.write("agent.json", AGENT)
    mounted.write("pool.json", POOL)
    mounted.write("token", "token-1\n")
    for secret, key in (
        ("livekit", "api-key"),
        ("livekit", "api-secret"),
        ("deepgram", "api-key"),
        ("openai", "api-key"),
        ("cartesia", "api-key"),
    ):
        path = folder / "secrets" / secret / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{SECRET_VALUE}-{secret}\n")
    return mounted
