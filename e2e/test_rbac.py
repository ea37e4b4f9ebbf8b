"""The shipped rules are what the operator uses: one less and a request is refused, one more and nobody uses it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.auditing import Asked, Grant, audit_flags, read_asked, read_grants, refused, uncovered, unused
from e2e.bench import Bench, BenchOptions
from e2e.bench.control_plane import kwok_node
from e2e.bench.waiting import wait_for
from e2e.guarding import KWOK_USER, render_guards
from e2e.operating import CHART, ROOT, SERVICE_ACCOUNT, Fleet, OperatorProcess, fleet_of, install_rights

SAMPLES = ROOT / "manifests" / "samples"
AGENT = "receptionist"
# Asked for by admission on behalf of the operator, which no audit log tells; there is a test of its own below.
ASKED_BY_ADMISSION = {("update", "voiceagents/finalizers")}
MODES = {"cluster": (), "namespaces": ("rights-agents", "rights-pools")}
# Of the cluster's Secrets no default installation sees anything.
SEES_SECRETS = "namespaces"
STILL_NODE = "still"


@dataclass(frozen=True, slots=True)
class Installed:
    """An operator that was installed by the chart, and where its requests are written down."""

    bench: Bench
    namespace: str
    values: tuple[str, ...]
    works_in: tuple[str, ...]
    folder: Path

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{SERVICE_ACCOUNT}"

    def asked(self) -> list[Asked]:
        return read_asked(self.folder, self.user)

    def grants(self) -> list[Grant]:
        return read_grants(self.documents())

    def documents(self) -> list[dict[str, Any]]:
        sets = [f"--set={value}" for value in ("crds.install=false", *self.values)]
        rendered = self.bench.helm("template", "voicefleet", str(CHART), "-n", self.namespace, *sets).stdout
        return [document for document in yaml.safe_load_all(rendered) if document]


@pytest.fixture(scope="module")
def audit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def audited(audit_folder: Path) -> Iterator[Bench]:
    """A control plane of our own, that writes down what operators ask and guards owners as strict clusters do."""
    users = [f"system:serviceaccount:rights-{mode}:{SERVICE_ACCOUNT}" for mode in MODES]
    plugins = "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement"
    flags = (*audit_flags(audit_folder, users), plugins)
    with Bench.up(BenchOptions(livekit=False, redis=False, apiserver_flags=flags)) as bench:
        yield bench


@pytest.fixture(scope="module", params=MODES)
def installed(request: pytest.FixtureRequest, audited: Bench, audit_folder: Path) -> Iterator[Installed]:
    """The chart's rights and guards, for an operator of the whole cluster or of two namespaces."""
    mode, namespace = request.param, f"rights-{request.param}"
    watched = MODES[mode]
    values = (f"guard.exemptUsers={{{KWOK_USER}}}", *((f"watchNamespaces={{{','.join(watched)}}}",) if watched else ()))
    values += ("watchSecrets=true",) if mode == SEES_SECRETS else ()
    for name in (namespace, "rights-agents", "rights-pools"):
        audited.kubectl("create", "namespace", name)
        account = ("get", "serviceaccount", "default", "-n", name)
        wait_for(lambda account=account: audited.kubectl(*account, check=False).returncode == 0, "an account")  # type: ignore[misc]
    audited.kubectl("label", "namespace", "rights-agents", "tier=voice")
    install_rights(audited, namespace, *values)
    guards = yaml.safe_dump_all(render_guards(audited, namespace, *values))
    audited.kubectl("apply", "-f", "-", stdin=guards)
    yield Installed(audited, namespace, values, watched, audit_folder)
    audited.kubectl("delete", "-f", "-", stdin=guards)
    audited.kubectl("delete", "namespace", namespace, "rights-agents", "rights-pools", "--timeout=60s")


@pytest.mark.timeout(300)
def test_the_operator_asks_for_what_it_was_granted_and_nothing_else(installed: Installed, tmp_path: Path) -> None:
    operator = OperatorProcess(
        installed.bench,
        installed.namespace,
        log=tmp_path / "operator.log",
        works_in=installed.works_in,
        # Or what it reads every ten minutes would look as if it were never read.
        flags=("--repair-seconds=5", *(("--watch-secrets",) if "watchSecrets=true" in installed.values else ())),
    )
    operator.start()
    try:
        wait_for(operator.leads, "it to lead")
        with fleet_of(installed.bench, "rights-agents", AGENT) as fleet:
            live_a_life(installed.bench, fleet, operator)
    except TimeoutError as error:
        # Whatever did not come about, a request in vain is the better word for it.
        if in_vain := refused(installed.asked()):
            pytest.fail(f"refused, so a rule is missing: {'; '.join(in_vain)} ({error})", pytrace=False)
        raise
    finally:
        operator.stop()

    asked, grants = installed.asked(), installed.grants()
    differences = {
        "refused, so a rule is missing": refused(asked),
        "granted by nobody of ours": uncovered(grants, asked),
        "granted and never used": [
            str(grant)
            for grant in grants
            if str(grant) in unused(grants, asked) and (grant.verb, grant.resource) not in ASKED_BY_ADMISSION
        ],
    }
    if any(differences.values()):
        pytest.fail(yaml.safe_dump(differences, sort_keys=False, width=120), pytrace=False)


def live_a_life(bench: Bench, fleet: Fleet, operator: OperatorProcess) -> None:
    """Lead an agent through everything that an operator ever does for one."""
    share_a_pool(bench)
    apply_agent(bench, AGENT, {"providerPoolRef": {"name": "shared", "namespace": "rights-pools"}})
    (first,) = fleet.wait_for(1)
    serve(fleet)
    wait_for(lambda: fleet.told("workers.ready") == 1, "a worker heard")
    calls_come_and_go(fleet, first)
    # A crowd of one is no reason for a second worker in what follows.
    fleet.patch({"scaling": {"max": 1}})
    fleet.patch({"worker": {"resources": {"cpu": "2", "memory": "4Gi"}}})
    settle(fleet)
    roll_out(fleet, "de", history=1)
    roll_out(fleet, "fr", history=1)
    # A new process knows nothing and reads it all.
    assert operator.stop() == 0
    operator.start()
    wait_for(operator.leads, "it to lead again", within_seconds=30)
    roll_out(fleet, "es", history=1)
    fleet.patch({"worker": {"egress": {"mode": "Unmanaged"}}})
    wait_for(lambda: not policies(fleet), "no network policy that nobody wants")
    wait_for_a_secret(bench)
    bench.kubectl("delete", "pp", "shared", "-n", "rights-pools", "--wait=false")
    bench.kubectl("delete", "va", "--all", "-n", fleet.namespace, "--timeout=60s")
    wait_for(lambda: not fleet.pods(), "no worker left")
    pools = ("get", "pp", "-n", "rights-pools", "-o", "name")
    wait_for(lambda: not bench.kubectl(*pools).stdout, "no pool left that waits for its agents")


def policies(fleet: Fleet) -> str:
    """Return the names of the agent's network policies."""
    labels = ("-l", f"voicefleet.dev/agent={fleet.agent}", "-n", fleet.namespace)
    return fleet.bench.kubectl("get", "networkpolicies", *labels, "-o", "name").stdout


def serve(fleet: Fleet) -> None:
    """Let each pod have a worker; addresses of pods that are gone are given out again."""
    for name in set(fleet.workers) - set(fleet.pods()):
        fleet.workers.pop(name).close()
    fleet.serve()


def share_a_pool(bench: Bench) -> None:
    """Put the pool where it asks for the labels of namespaces."""
    pool = yaml.safe_load((SAMPLES / "providerpool.yaml").read_text())
    pool["metadata"] = {"name": "shared", "namespace": "rights-pools"}
    pool["spec"]["allowedNamespaces"] = {"matchLabels": {"tier": "voice"}}
    bench.kubectl("apply", "-f", "-", stdin=json.dumps(pool))


def apply_agent(bench: Bench, name: str, spec: dict[str, Any]) -> None:
    agent = yaml.safe_load((SAMPLES / "voiceagent.yaml").read_text())
    agent["metadata"] = {"name": name, "namespace": "rights-agents"}
    agent["spec"] |= spec
    bench.kubectl("apply", "-f", "-", stdin=json.dumps(agent))


def calls_come_and_go(fleet: Fleet, name: str) -> None:
    """Mark a worker busy, grow, shrink, and mark it idle."""
    fleet.workers[name].calls = 1
    busy = "voicefleet.dev/busy"
    wait_for(lambda: fleet.pods()[name]["metadata"]["labels"][busy] == "true", "a busy worker")
    fleet.patch({"scaling": {"min": 3}})
    fleet.wait_for(3)
    serve(fleet)
    wait_for(lambda: fleet.told("workers.ready") == 3, "three workers heard")
    fleet.patch({"scaling": {"min": 1, "warmFloorSlots": 0, "scaleDownDelaySeconds": 0}})
    wait_for(lambda: set(fleet.pods()) == {name}, "the idle ones to leave", within_seconds=90)
    fleet.workers[name].calls = 0
    wait_for(lambda: fleet.pods()[name]["metadata"]["labels"][busy] == "false", "an idle worker")


def roll_out(fleet: Fleet, language: str, *, history: int) -> None:
    """Change the template, and see the old worker empty although it was busy to the end."""
    (old,) = fleet.wait_for(1)
    fleet.workers[old].calls = 1
    fleet.patch({"languages": ["en", language], "rollout": {"revisionHistoryLimit": history}})
    fleet.wait_for(2)
    serve(fleet)
    wait_for(lambda: fleet.workers[old].cordoned, "the old worker told to empty")
    fleet.workers[old].calls = 0
    wait_for(lambda: old not in fleet.pods(), "the old worker to leave")
    settle(fleet)


def settle(fleet: Fleet) -> None:
    """Wait until there is one worker, and nothing left to be done."""

    def is_settled() -> bool:
        serve(fleet)
        status = fleet.status()
        generation = json.loads(
            fleet.bench.kubectl(
                "get", "va", fleet.agent, "-n", fleet.namespace, "-o", "jsonpath={.metadata.generation}"
            ).stdout
        )
        seen = status.get("observedGeneration") == generation
        return seen and len(fleet.pods()) == 1 and fleet.says("Reconciling") == "False AsWanted"

    try:
        wait_for(is_settled, f"a settled fleet of {fleet.agent}")
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {json.dumps(fleet.status(), indent=1)}") from None


def wait_for_a_secret(bench: Bench) -> None:
    """Play a kubelet that cannot mount a Secret: only events tell of it."""
    node = yaml.safe_load(json.dumps(kwok_node(0)).replace("kwok-0", STILL_NODE))
    del node["metadata"]["labels"]["type"]
    node["status"]["conditions"] = [{"type": "Ready", "status": "True", "reason": "Played", "message": "by a test"}]
    bench.kubectl("create", "-f", "-", stdin=json.dumps(node), check=False)
    bench.kubectl("patch", "node", STILL_NODE, "--subresource=status", "-p", json.dumps({"status": node["status"]}))
    selector = {"nodeSelector": {"kubernetes.io/hostname": STILL_NODE}}
    apply_agent(
        bench,
        "waiting",
        {
            "providerPoolRef": {"name": "shared", "namespace": "rights-pools"},
            "worker": {"podTemplate": {**selector, "tolerations": [{"operator": "Exists"}]}},
        },
    )
    with fleet_of(bench, "rights-agents", "waiting") as fleet:
        wait_for(lambda: [p for p in fleet.pods().values() if p["spec"].get("nodeName")], "a worker with a node")
        (name,) = fleet.pods()
        waiting = {"name": "worker", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
        waiting["state"] = {"waiting": {"reason": "ContainerCreating"}}
        status = json.dumps({"status": {"containerStatuses": [waiting]}})
        bench.kubectl("patch", "pod", name, "-n", fleet.namespace, "--subresource=status", "-p", status)
        tell_of_a_mount_that_fails(bench, fleet, name)
        wait_for(lambda: fleet.says("Ready") == "False SecretMissing", "words about the Secret", within_seconds=20)
        bench.kubectl("delete", "va", "waiting", "-n", fleet.namespace, "--wait=false")
        wait_for(lambda: not fleet.pods() or _is_leaving(bench, fleet.namespace, name), "it to be taken back")
        bench.kubectl("delete", "pod", name, "-n", fleet.namespace, "--force", "--grace-period=0", check=False)
    # Nobody runs pods there: whatever the scheduler sent to it next would wait for ever.
    bench.kubectl("delete", "node", STILL_NODE)


def tell_of_a_mount_that_fails(bench: Bench, fleet: Fleet, name: str) -> None:
    uid = fleet.pods()[name]["metadata"]["uid"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.mount", "namespace": fleet.namespace},
        "involvedObject": {"kind": "Pod", "name": name, "namespace": fleet.namespace, "uid": uid},
        "type": "Warning",
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "secret-0" : secret "livekit" not found',
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    bench.kubectl("apply", "-f", "-", stdin=json.dumps(event))


def _is_leaving(bench: Bench, namespace: str, name: str) -> bool:
    path = ("-o", "jsonpath={.metadata.deletionTimestamp}", "--ignore-not-found")
    return bool(bench.kubectl("get", "pod", name, "-n", namespace, *path).stdout)


def test_an_owner_may_be_held_only_with_the_right_to_its_finalizers(installed: Installed) -> None:
    bench, who = installed.bench, f"--as={installed.user}"
    apply_agent(bench, "owner", {"suspend": True})
    uid = bench.kubectl("get", "va", "owner", "-n", "rights-agents", "-o", "jsonpath={.metadata.uid}").stdout
    owner = {"apiVersion": "voicefleet.dev/v1alpha1", "kind": "VoiceAgent", "name": "owner", "uid": uid}
    metadata = {"name": "held", "namespace": "rights-agents", "ownerReferences": [owner | {"blockOwnerDeletion": True}]}
    child = json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    command = ("create", "-f", "-", "--dry-run=server", who)
    assert bench.kubectl(*command, stdin=child, check=False).returncode == 0

    roles = [document for document in installed.documents() if document["kind"] in ("Role", "ClusterRole")]
    less = [
        {**role, "rules": [rule for rule in role["rules"] if "voiceagents/finalizers" not in rule["resources"]]}
        for role in roles
    ]
    bench.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(less))
    try:
        wait_for(lambda: bench.kubectl(*command, stdin=child, check=False).returncode != 0, "a refusal")
        assert "blockOwnerDeletion" in bench.kubectl(*command, stdin=child, check=False).stderr
    finally:
        bench.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(roles))
        bench.kubectl("delete", "va", "owner", "-n", "rights-agents", "--wait=false")


def test_one_rule_less_or_more_is_noticed() -> None:
    """The comparison itself must not be blind."""
    asked = [Asked("list", "", "pods", "", "", 200), Asked("get", "", "secrets", "own", "key", 200)]
    pods, key = Grant("all", "list", "", "pods"), Grant("own", "get", "", "secrets", "key", ("own",))

    assert (unused([pods, key], asked), uncovered([pods, key], asked)) == ([], [])
    assert uncovered([pods], asked) == ["get secrets key in own (200)"]
    for more in (
        Grant("all", "list", "", "secrets"),
        Grant("own", "get", "", "secrets", "other", ("own",)),
        Grant("own", "get", "", "secrets", "key", ("elsewhere",)),
        Grant("all", "list", "apps", "pods"),
        Grant("all", "patch", "", "pods/status"),
    ):
        assert unused([pods, key, more], asked) == [str(more)]
    twice = Grant("own", "list", "", "pods")
    assert unused([pods, key, twice], asked) == [str(pods), str(twice)]
    by_no_rule, by_admission = (Asked("get", "", "secrets", "", "", 403, forbidden) for forbidden in (True, False))
    assert refused([by_no_rule, by_admission]) == ["get secrets  (403)"]
