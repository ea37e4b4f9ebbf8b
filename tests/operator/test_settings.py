"""The command line: what works, and one line about what does not."""

import pytest

from voicefleet_operator.main import main
from voicefleet_operator.settings import parse_arguments

POD = {"POD_NAMESPACE": "op", "POD_NAME": "operator-0", "POD_UID": "6f1c"}


def test_in_a_pod_the_namespace_and_the_name_are_its_own() -> None:
    settings = parse_arguments(["--all-namespaces", "--worker-image", "w"], POD)

    assert (settings.own_namespace, settings.namespaces, settings.http_port) == ("op", (), 8080)
    assert settings.identity.startswith("operator-0_6f1c_")


def test_providers_are_probed_unless_whoever_installs_it_says_no() -> None:
    arguments = ["--all-namespaces", "--worker-image", "w"]

    assert parse_arguments(arguments, POD).probes
    assert not parse_arguments([*arguments, "--no-probes"], POD).probes


def test_nodes_are_seen_unless_whoever_installs_it_says_no() -> None:
    arguments = ["--namespace", "voice", "--worker-image", "w"]

    assert parse_arguments(arguments, POD).watch_nodes
    assert not parse_arguments([*arguments, "--no-node-watch"], POD).watch_nodes


def test_secrets_are_seen_only_where_whoever_installs_it_says_so() -> None:
    arguments = ["--all-namespaces", "--worker-image", "w"]

    assert not parse_arguments(arguments, POD).watch_secrets
    assert parse_arguments([*arguments, "--watch-secrets"], POD).watch_secrets


def test_two_processes_are_never_the_same_candidate() -> None:
    arguments = ["--namespace", "b", "--namespace", "a", "--namespace", "a", "--worker-image", "w"]
    one, two = parse_arguments(arguments, POD), parse_arguments(arguments, POD)

    assert one.identity != two.identity
    assert one.namespaces == ("a", "b")


def test_only_a_pod_is_a_place_where_one_process_follows_another() -> None:
    arguments = ["--all-namespaces", "--worker-image", "w"]
    nameless = {key: value for key, value in POD.items() if key != "POD_UID"}
    places = [
        [parse_arguments(arguments, environment).identity.rpartition("_")[0] for _ in range(2)]
        for environment in (POD, nameless)
    ]

    assert places[0] == ["operator-0_6f1c"] * 2
    assert places[1][0] != places[1][1]


def test_without_a_namespace_to_keep_the_lease_in_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POD_NAMESPACE", raising=False)

    assert main(["--all-namespaces", "--worker-image", "w"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("voicefleet-operator: --own-namespace is missing")


@pytest.mark.parametrize(
    "arguments",
    [["--worker-image", "w"], ["--all-namespaces"], ["--all-namespaces", "--namespace", "a", "--worker-image", "w"]],
    ids=["no scope", "no image", "two scopes"],
)
def test_a_command_line_that_cannot_work_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: voicefleet-operator")


def test_help_shows_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out
