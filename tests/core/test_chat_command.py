"""`voicefleet chat` as far as the command line goes: what runs the agent is found by name."""

import argparse
import signal

import pytest

from voicefleet_cli import chat, main


class _Command:
    """A command of some extra, installed or not."""

    def __init__(self, *, is_installed: bool) -> None:
        self.is_installed = is_installed
        self.given: list[argparse.Namespace] = []
        self.ctrl_c: list[object] = []

    def load(self) -> object:
        self.ctrl_c.append(signal.getsignal(signal.SIGINT))
        if not self.is_installed:
            raise ModuleNotFoundError("No module named 'livekit'")
        return self.talk

    def talk(self, arguments: argparse.Namespace) -> int:
        self.ctrl_c.append(signal.getsignal(signal.SIGINT))
        self.given.append(arguments)
        return 0


def installed(monkeypatch: pytest.MonkeyPatch, *commands: _Command) -> None:
    monkeypatch.setattr(chat, "entry_points", lambda **_: commands)


def test_the_conversation_is_handed_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    command = _Command(is_installed=True)
    installed(monkeypatch, command)

    assert main.main(["chat", "agent.yaml", "--variable", "name=Ada=Eve", "--variable", "plan="]) == 0
    assert command.given[0].variables == [("name", "Ada=Eve"), ("plan", "")]


def test_ctrl_c_ends_it_while_it_loads_whatever_is_in_the_middle_of_something(monkeypatch: pytest.MonkeyPatch) -> None:
    command = _Command(is_installed=True)
    installed(monkeypatch, command)
    before = signal.getsignal(signal.SIGINT)

    main.main(["chat", "agent.yaml"])

    assert command.ctrl_c == [signal.SIG_DFL, before]
    assert before is not signal.SIG_DFL


@pytest.mark.parametrize("commands", [(), (_Command(is_installed=False),)], ids=["no command", "no extra"])
def test_who_has_no_worker_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], commands: tuple[_Command, ...]
) -> None:
    installed(monkeypatch, *commands)

    assert main.main(["chat", "agent.yaml"]) == 2
    assert "pip install 'voicefleet[worker]'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["name", "=Ada", "1st=Ada", "na me=Ada"])
def test_a_variable_has_a_name_and_a_value(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(["chat", "agent.yaml", "--variable", text])
    assert "is not NAME=VALUE" in capsys.readouterr().err
