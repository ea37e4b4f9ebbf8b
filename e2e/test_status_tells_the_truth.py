"""Promise 6: whatever a person or a worker does wrong, the status says it in words, and no neighbour feels it.

Elsewhere: a missing pool, a forbidden one, no node that fits and one silent worker in `test_operator.py`; a missing
Secret, a missing key and a missing image on a real kubelet in `test_operator_node.py`; specs that nobody could run in
`test_crds*.py`.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.bench import Bench
from e2e.bench.oci import write_oci_archive
from e2e.bench.waiting import wait_for
from e2e.fake_workers import FakeWorker
from e2e.operating import ROOT, Fleet, OperatorProcess, confined_operator, fleet_of, holds_for, remove_agents
from voicefleet.names import LAST_WORDS_FILE, LAST_WORDS_PREFIX

SAMPLES = ROOT / "manifests" / "samples"
AGENT, NEIGHBOUR = "receptionist", "neighbour"
SILENT_SECONDS = 30.0
# The sample's pool has room for a hundred calls at once, twelve to a worker.
MOST_WORKERS = 9
# A worker that is started again and again is called so by the kubelet after its second end.
CRASH_SECONDS = 60.0
SECRETS = {"livekit": ("api-key", "api-secret"), "deepgram": ("api-key",), "openai": ("api-key",)}
SECRETS |= {"cartesia": ("api-key",)}
ITS_OWN = "its own"
HEARD = {"sequence": 1, "revision": "any", "podUid": ITS_OWN, "slots": 12, "registered": True}
pytestmark = pytest.mark.timeout(180)


def said(**fields: object) -> bytes:
    """Return a line that would be fine, but for these fields, from whichever pod says it."""
    return json.dumps({**HEARD, **fields}).encode() + b"\n"


NONSENSE = {
    "no JSON": b"hello\n",
    "nothing in it": b"\n",
    "a list": b"[]\n",
    "brackets without end": b"[" * 20_000 + b"\n",
    "a line without end": b"x" * 80_000,
    "bytes that are no text": b"\xff\xfe\x00\n",
    "negative slots": said(slots=-1),
    "more slots than any worker has": said(slots=10**18),
    "an age below zero": said(sessions=[{"id": "call", "ageSeconds": -1}]),
    "an age beyond numbers": said(sessions=[{"id": "a", "ageSeconds": 0}]).replace(b": 0}", b": 1e999}"),
    "more calls than can be": said(sessions=[{"id": str(number), "ageSeconds": 1} for number in range(201)]),
    "more failures than calls": said(tally={"callsEnded": 1, "callsFailed": 2}),
    "words for numbers": said(slots="many"),
    "another pod that is empty": said(podUid="00000000-0000-0000-0000-000000000000", cordoned=True),
    "a pod that hides which one it is, and is empty": said(podUid="", cordoned=True),
}


class Liar(FakeWorker):
    """A worker, or whoever got hold of its address, that says one thing again and again."""

    def __init__(self, pod: dict[str, Any], token: str, words: bytes) -> None:
        self._words = words.replace(ITS_OWN.encode(), pod["metadata"]["uid"].encode())
        super().__init__(pod, token)

    def line(self) -> bytes:
        """Say it."""
        return self._words


@pytest.fixture
def operator(bench: Bench, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    with confined_operator(bench, namespace, tmp_path / "operator.log") as process:
        yield process


@pytest.fixture
def fleet(bench: Bench, operator: OperatorProcess, namespace: str) -> Iterator[Fleet]:
    """The fleet that gets into trouble; nobody speaks for its workers yet."""
    wait_for(operator.leads, "an operator that leads")
    for sample in ("providerpool.yaml", "voiceagent.yaml"):
        bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / sample))
    with fleet_of(bench, namespace, AGENT) as fleet:
        yield fleet
        remove_agents(bench, namespace)


@pytest.fixture
def neighbour(bench: Bench, fleet: Fleet) -> Iterator[Fleet]:
    """A fleet beside it that is well."""
    manifest = yaml.safe_load((SAMPLES / "voiceagent.yaml").read_text())
    manifest["metadata"]["name"] = NEIGHBOUR
    manifest["spec"] |= {"scaling": {"mode": "External"}, "replicas": 1}
    bench.kubectl("apply", "-n", fleet.namespace, "-f", "-", stdin=yaml.safe_dump(manifest))
    with fleet_of(bench, fleet.namespace, NEIGHBOUR) as neighbour:
        neighbour.wait_for(1)
        neighbour.serve()
        wait_for(lambda: neighbour.says("Ready") == "True Ready", "a neighbour that is well")
        yield neighbour
        assert_well(neighbour)


def assert_well(neighbour: Fleet) -> None:
    """See to it that a fleet is served as if it were alone: calls are seen at once, and pods are as they were."""
    (worker,) = neighbour.workers.values()
    for calls in (3, 0):
        worker.calls = calls
        wait_for(lambda calls=calls: neighbour.told("calls") == calls, f"{calls} calls", within_seconds=5)  # type: ignore[misc]
    assert neighbour.says("Ready") == "True Ready"
    assert neighbour.says("Stalled").startswith("False")
    assert set(neighbour.pods()) == set(neighbour.workers)


def test_workers_that_talk_nonsense_count_as_silent_and_none_is_taken_away(
    fleet: Fleet, neighbour: Fleet, tmp_path: Path
) -> None:
    fleet.patch({"scaling": {"mode": "External"}, "replicas": len(NONSENSE)})
    names = fleet.wait_for(len(NONSENSE))
    for name, words in zip(names, NONSENSE.values(), strict=True):
        pod = fleet.pods()[name]
        fleet.workers[name] = Liar(pod, fleet.token(pod), words)

    silent = f"{len(NONSENSE)} silent"
    wait_for(lambda: silent in (fleet.told("summary") or ""), "that none is heard", within_seconds=SILENT_SECONDS)
    status = fleet.status()
    assert fleet.says("Ready") == "Unknown LoadUnknown"
    assert "hears nothing of the load and so takes none away" in fleet.message()
    assert (status["calls"], status["freeSlots"], status["slots"]) == (0, 0, 0)

    fleet.patch({"replicas": 1})

    assert holds_for(lambda: sorted(fleet.pods()) == names, 3)
    assert not [name for name in names if fleet.workers[name].cordoned]
    assert_well(neighbour)
    log = (tmp_path / "operator.log").read_text()
    assert "Traceback" not in log
    assert len(log) < 100_000


def test_a_worker_that_exaggerates_is_believed_only_as_far_as_it_harms_nobody(fleet: Fleet, neighbour: Fleet) -> None:
    """More calls than slots, of another revision: it counts as full, is guarded, and drives nobody else anywhere."""
    (name,) = fleet.wait_for(1)
    sessions = [{"id": f"call-{number}", "ageSeconds": 1e9} for number in range(200)]
    lie = said(revision="another", sessions=sessions, reportedLoad=1e9, refused=2**53)
    pod = fleet.pods()[name]
    fleet.workers[name] = Liar(pod, fleet.token(pod), lie)

    wait_for(lambda: fleet.told("calls") == 200, "its calls in the status")
    assert fleet.told("freeSlots") == 0
    wait_for(lambda: fleet.pods()[name]["metadata"]["labels"]["voicefleet.dev/busy"] == "true", "a guard")
    # As many as the pool's providers have room for, and not one for every lie.
    assert holds_for(lambda: len(fleet.pods()) <= MOST_WORKERS, 2)
    assert_well(neighbour)


def test_a_quota_that_refuses_workers_is_told_and_its_end_noticed(bench: Bench, fleet: Fleet, neighbour: Fleet) -> None:
    fleet.wait_for(1)
    fleet.serve()
    wait_for(lambda: fleet.says("Ready") == "True Ready", "a fleet that is well")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}}
    bench.kubectl("apply", "-n", fleet.namespace, "-f", "-", stdin=json.dumps(quota))
    counted = ("get", "quota", "few", "-n", fleet.namespace, "-o", "jsonpath={.status.used.pods}")
    wait_for(lambda: bench.kubectl(*counted).stdout == "2", "a quota that counts")

    fleet.patch({"scaling": {"min": 3}})

    wait_for(lambda: fleet.says("Stalled") == "True RefusedByCluster", "words about the refusal")
    stalled = next(c for c in fleet.told("conditions") if c["type"] == "Stalled")
    assert "the cluster refuses what this agent needs" in stalled["message"]
    assert "exceeded quota: few" in stalled["message"]
    assert fleet.says("Ready") == "True Ready"
    assert_well(neighbour)

    bench.kubectl("delete", "quota", "few", "-n", fleet.namespace)

    fleet.wait_for(3)
    wait_for(lambda: fleet.says("Stalled").startswith("False"), "that it is over", within_seconds=SILENT_SECONDS)


LAST_WORDS = "pool.json: plugin google is not in this image"


def crashing_program() -> bytes:
    """Return a smallest ELF program of a 64-bit PC: it leaves words as a worker does, and ends with status 3."""
    where, header, length = 0x400000, 64 + 56, 50
    path, words = LAST_WORDS_FILE.encode() + b"\0", f"{LAST_WORDS_PREFIX}{LAST_WORDS}\n".encode()
    after = where + header + length
    code = (
        # It opens the file to write to it,
        *(b"\xb8\x02\0\0\0\xbf", struct.pack("<I", after), b"\xbe\x01\0\0\0\x31\xd2\x0f\x05"),
        # writes the words,
        *(b"\x89\xc7\xbe", struct.pack("<I", after + len(path)), b"\xba", struct.pack("<I", len(words))),
        b"\xb8\x01\0\0\0\x0f\x05",
        # and ends.
        b"\xbf\x03\0\0\0\xb8\x3c\0\0\0\x0f\x05",
    )
    program = b"".join(code)
    assert len(program) == length
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    elf = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 62, 1, where + header, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = header + length + len(path) + len(words)
    return elf + struct.pack("<IIQQQQQQ", 1, 5, 0, where, where, size, size, 0x1000) + program + path + words


@pytest.fixture
def crashing_image(real_node_bench: Bench, tmp_path: Path) -> str:
    """An image on the real node whose only program ends as soon as it begins."""
    image = "voicefleet.dev/e2e/crash:1"
    program = tmp_path / "crash"
    program.write_bytes(crashing_program())
    write_oci_archive(tmp_path / "crash.tar", image=image, program=program)
    assert real_node_bench.node is not None
    real_node_bench.node.import_image(tmp_path / "crash.tar")
    return image


def test_an_agent_that_crashes_at_start_is_told_with_the_command_that_shows_why(
    real_node_bench: Bench, crashing_image: str, namespace: str, tmp_path: Path
) -> None:
    bench = real_node_bench
    agent = yaml.safe_load((SAMPLES / "voiceagent.yaml").read_text())
    agent["spec"]["worker"] |= {
        "image": crashing_image,
        "imagePullPolicy": "Never",
        "resources": {"cpu": "50m", "memory": "64Mi", "ephemeralStorage": "64Mi"},
        "podTemplate": {"nodeSelector": {"voicefleet.dev/node": "real"}},
    }
    operating = confined_operator(bench, namespace, tmp_path / "operator.log")
    with operating, fleet_of(bench, namespace, AGENT) as fleet:
        for name, keys in SECRETS.items():
            literals = (f"--from-literal={key}=any" for key in keys)
            bench.kubectl("create", "secret", "generic", name, "-n", namespace, *literals)
        bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "providerpool.yaml"))
        bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(agent))
        wait_for(lambda: fleet.says("Ready") == "False PodFailed", "words", within_seconds=CRASH_SECONDS)
        (pod,) = fleet.pods()
        assert fleet.message().startswith("a worker crashes again and again (exit code 3, Error)")
        assert f"saying '{LAST_WORDS}': see `kubectl logs -n {namespace} {pod} --previous`" in fleet.message()
        # Another one would crash as well: nobody is made in its place.
        assert holds_for(lambda: set(fleet.pods()) == {pod}, 3)
