"""`voicefleet chat`, as somebody at a terminal or a pipe uses it, against models that can be broken."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.bench.waiting import wait_for
from e2e.providers import Control, Providers
from e2e.providers.wire import HearingMode
from e2e.working import agent_manifest, pool_manifest

COMMAND = str(Path(sys.executable).with_name("voicefleet"))
QUESTION, ANSWER = "When are you open?", "We are open from nine to five, Monday to Friday."
# Two shared cores load the SDK beside other tests.
PATIENCE_SECONDS = 90.0
TOOLS = [
    {
        "name": "hours",
        "description": "Tells the opening hours.",
        "builtin": {
            "type": "BusinessHours",
            "businessHours": {
                "timeZone": "Europe/Berlin",
                "hours": [{"days": ["Mon"], "start": "09:00", "end": "17:00"}],
            },
        },
    },
    {"name": "end_call", "description": "Ends the call.", "builtin": {"type": "EndCall"}},
]
GOODBYE = {"match": "reached its end|wants to end", "on": "instructions", "reply": "Have a nice day."}
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    return "script"


@pytest.fixture
def files(providers: Providers, tmp_path: Path) -> list[str]:
    agent: dict[str, Any] = agent_manifest("desk")
    agent["spec"]["tools"] = TOOLS
    agent["spec"]["agents"][0]["tools"] = [tool["name"] for tool in TOOLS]
    agent["spec"]["conversation"]["endPhrases"] = ["that is all"]
    pool = pool_manifest("ws://127.0.0.1:9", providers)
    standby = pool_manifest("ws://127.0.0.1:9", providers.for_instance("second"))["spec"]["providers"][1]
    pool["spec"]["providers"].append({**standby, "name": "standby", "priority": 200})
    (tmp_path / "agent.json").write_text(json.dumps(agent))
    (tmp_path / "pool.json").write_text(json.dumps(pool))
    return [str(tmp_path / "agent.json"), "--pool", str(tmp_path / "pool.json"), "--variable", "name=Ada"]


def environment() -> dict[str, str]:
    return {"OPENAI_API_KEY": "key-of-openai", "PATH": os.environ["PATH"], "TERM": "xterm"}


def chat(files: list[str], *lines: str) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, "chat", *files]
    done = subprocess.run(
        command, input="".join(f"{line}\n" for line in lines), env=environment(), capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "key-of-openai" not in done.stdout + done.stderr
    return done


def test_lines_of_a_pipe_are_answered_one_by_one(control: Control, files: list[str]) -> None:
    done = chat(files, QUESTION, "", "I have a toothache.")

    assert done.stdout.splitlines() == [
        "desk> Hello Ada, this is Riverside Dental. How can I help you?",
        f"you> {QUESTION}",
        f"desk> {ANSWER}",
        "you> I have a toothache.",
        "desk> You said: I have a toothache.",
    ]
    assert done.returncode == 0
    assert [row["service"] for row in control.requests("openai")] == ["chat", "chat"]


def test_tools_are_used_and_shown_and_may_end_the_call(control: Control, files: list[str]) -> None:
    control.set_rules([
        {"match": "hours", "tool_call": {"name": "hours"}},
        {"match": "enough", "tool_call": {"name": "end_call"}},
        GOODBYE,
    ])  # fmt: skip
    done = chat(files, "Your hours?", "That was enough.", "Nobody hears this.")
    lines = done.stdout.splitlines()

    assert re.match(r'  hours \{\} → \{"now": ', lines[2])
    assert lines[3].startswith("desk> The answer is")
    assert lines[-2:] == ["desk> Have a nice day.", "  call ends: agent ended the call"]
    assert "Nobody hears this." not in done.stdout
    assert done.returncode == 0


def test_words_that_end_a_call_end_a_chat(control: Control, files: list[str]) -> None:
    control.set_rules([GOODBYE])
    done = chat(files, "That is all, thanks.")

    assert done.stdout.splitlines()[-2:] == ["desk> Have a nice day.", "  call ends: caller said so"]


def unread_bytes(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_ctrl_c_ends_it_in_the_middle_of_a_line_of_a_pipe(files: list[str], control: Control) -> None:  # noqa: ARG001
    reading, writing = os.pipe()
    command = [COMMAND, "chat", *files]
    with subprocess.Popen(
        command, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    ) as chat:
        os.write(writing, b"half a li")
        wait_for(lambda: unread_bytes(reading) == 0, "the chat reads", within_seconds=PATIENCE_SECONDS)
        chat.send_signal(signal.SIGINT)
        try:
            status = chat.wait(PATIENCE_SECONDS)
        finally:
            chat.kill()
            os.close(writing)
            os.close(reading)
        _, complaint = chat.communicate()

    assert (status, complaint) == (130, "")


def test_another_model_takes_over_as_in_a_call(control: Control, files: list[str]) -> None:
    control.break_service("openai", "chat", "error", status=503)
    done = chat(files, QUESTION)

    assert "  ! provider failed (problem: APIStatusError 503, provider: openai, role: Llm)" in done.stdout
    assert done.stdout.splitlines()[-1] == f"desk> {ANSWER}"
    assert done.returncode == 0


def test_when_nobody_answers_it_says_so_and_ends_with_a_failure(control: Control, files: list[str]) -> None:
    for instance in ("main", "second"):
        control.break_service("openai", "chat", "refuse", instance=instance)
    done = chat(files, QUESTION)

    assert "nobody could answer" in done.stdout.splitlines()[-1]
    assert done.returncode == 1


def test_what_it_lacks_is_told_in_one_line(files: list[str], control: Control) -> None:  # noqa: ARG001
    agent = json.loads(Path(files[0]).read_text())
    agent["spec"]["variables"]["declared"] = [{"name": "account"}]
    Path(files[0]).write_text(json.dumps(agent))
    done = chat(files, QUESTION)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "voicefleet chat: variables: have no value: --variable account=…\n"


class Terminal:
    """A terminal with a chat on it."""

    def __init__(self, files: list[str]) -> None:
        self.near, far = pty.openpty()
        command = [COMMAND, "chat", *files]
        self.process = subprocess.Popen(
            command, stdin=far, stdout=far, stderr=far, env=environment(), start_new_session=True
        )
        os.close(far)
        self.shown = ""

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.near], [], [], 0.2)[0]:
                self.shown += os.read(self.near, 4096).decode()

    def press(self, keys: str) -> None:
        os.write(self.near, keys.encode())

    def end(self) -> int:
        status = self.process.wait(PATIENCE_SECONDS)
        os.close(self.near)
        return status


@pytest.fixture
def terminal(files: list[str], control: Control) -> Iterator[Terminal]:  # noqa: ARG001
    terminal = Terminal(files)
    yield terminal
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait(5)


def test_at_a_terminal_ctrl_d_ends_it(terminal: Terminal) -> None:
    terminal.read_until("you>")
    terminal.press(f"{QUESTION}\n")
    terminal.read_until("Friday.")
    # What is pressed before a line is asked for belongs to no line.
    answered = terminal.shown
    terminal.shown = ""
    terminal.read_until("you>")
    terminal.press("\x04")

    assert terminal.end() == 0
    assert "\x1b[1m" in answered


def test_at_a_terminal_ctrl_c_ends_it_in_the_middle_of_a_line(terminal: Terminal) -> None:
    terminal.read_until("you>")
    terminal.press("half a li")
    terminal.process.send_signal(signal.SIGINT)

    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown


def test_at_a_terminal_ctrl_c_ends_it_whichever_thread_hears_it(terminal: Terminal) -> None:
    terminal.read_until("you>")
    # The system prefers the thread whose number it is given.
    reader = max(int(thread.name) for thread in Path(f"/proc/{terminal.process.pid}/task").iterdir())
    os.kill(reader, signal.SIGINT)

    assert reader != terminal.process.pid
    assert terminal.end() == 130


@pytest.fixture
def silent_service() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_SECONDS)
        yield listening


@pytest.fixture
def slow_tool(files: list[str], silent_service: socket.socket) -> None:
    agent = json.loads(Path(files[0]).read_text())
    url = f"http://127.0.0.1:{silent_service.getsockname()[1]}/"
    http = {"url": url, "timeoutMilliseconds": 60_000}
    agent["spec"]["tools"].append({"name": "look", "description": "Looks it up.", "http": http})
    agent["spec"]["agents"][0]["tools"].append("look")
    Path(files[0]).write_text(json.dumps(agent))


@pytest.mark.usefixtures("slow_tool")
def test_at_a_terminal_a_second_ctrl_c_does_not_wait_for_a_tool(
    terminal: Terminal, control: Control, silent_service: socket.socket
) -> None:
    control.set_rules([{"match": "hours", "tool_call": {"name": "look"}}])
    terminal.read_until("you>")
    terminal.press("Your hours?\n")
    connection, _ = silent_service.accept()
    with connection:
        terminal.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            terminal.process.wait(2)
        terminal.process.send_signal(signal.SIGINT)

        assert terminal.process.wait(10) == 130
