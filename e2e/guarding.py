"""A guarded namespace: the chart's policies, workers that nobody runs, and the many who want them gone."""

import json
import subprocess
from typing import Any

import yaml

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.operating import CHART, SERVICE_ACCOUNT, install_rights
from voicefleet.api import VoiceAgent
from voicefleet.manifests.children import build_busy_guard, build_owner, select_agent
from voicefleet.names import FIELD_MANAGER, LABEL_BUSY, LABEL_REVISION

AGENT = "receptionist"
POLICY_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
# kwok stands in for kubelets and is not in their group.
KWOK_USER = "bench-kwok"
ON_CALL = "on-call"


def render_guards(bench: Bench, namespace: str, *values: str) -> list[dict[str, Any]]:
    """Return the chart's policies and their bindings."""
    sets = [f"--set={value}" for value in ("crds.install=false", *values)]
    rendered = bench.helm("template", "voicefleet", str(CHART), "-n", namespace, *sets).stdout
    return [document for document in yaml.safe_load_all(rendered) if document and document["kind"] in POLICY_KINDS]


class Guarded:
    """A namespace under the guard, and what is done to its workers."""

    def __init__(self, bench: Bench, namespace: str, watched: tuple[str, ...]) -> None:
        self.bench = bench
        self.namespace = namespace
        self.operator = f"system:serviceaccount:{namespace}:{SERVICE_ACCOUNT}"
        names = ",".join(watched)
        values = (f"watchNamespaces={{{names}}}", f"guard.exemptUsers={{{KWOK_USER}}}")
        self._guards = render_guards(bench, namespace, *values, f"guard.exemptGroups={{{ON_CALL}}}")
        install_rights(bench, namespace, f"watchNamespaces={{{names}}}")
        bench.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(self._guards))

    def close(self) -> None:
        """Take the policies away: they are the cluster's, and other tests share it."""
        self.bench.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(self._guards))

    def wait_until_it_guards(self) -> None:
        """Wait until the apiserver has taken the policies in: it does so a moment after they were written."""
        self.worker("first", busy=True)
        wait_for(lambda: self.try_delete("first"), "a guard")
        wait_for(lambda: self.try_relabel("first", "voicefleet.dev/busy=false"), "a guard of the labels")
        self.mark("first", busy=False)
        self.bench.kubectl("delete", "pod", "first", "-n", self.namespace)

    def agent(self, name: str = AGENT, **spec: object) -> VoiceAgent:
        """Apply a VoiceAgent, and return it with its uid."""
        agents = [{"name": "front-desk", "instructions": "You answer the phone."}]
        document = {
            "apiVersion": "voicefleet.dev/v1alpha1",
            "kind": "VoiceAgent",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"providerPoolRef": {"name": "default"}, "agents": agents, **spec},
        }
        answer = self.bench.kubectl("apply", "-f", "-", "-o", "json", stdin=json.dumps(document))
        return VoiceAgent.model_validate(json.loads(answer.stdout))

    def budget(self, agent: VoiceAgent) -> None:
        """Apply the budget that the operator applies."""
        self.bench.kubectl("apply", "-f", "-", stdin=json.dumps(build_busy_guard(agent.metadata)))

    def worker(
        self, name: str, *, busy: bool, of: VoiceAgent | None = None, node: str | None = "kwok-0", namespace: str = ""
    ) -> None:
        """Make a worker; without a node it waits for one for ever."""
        labels = (
            select_agent(of.metadata)
            if of
            else {"app.kubernetes.io/managed-by": "voicefleet", "voicefleet.dev/agent": AGENT}
        )
        labels |= {LABEL_BUSY: "true" if busy else "false", LABEL_REVISION: "5f0c9a1b2d"}
        metadata: dict[str, Any] = {"name": name, "namespace": namespace or self.namespace, "labels": labels}
        if of is not None:
            metadata["ownerReferences"] = [build_owner(of.metadata)]
        spec = {
            "nodeSelector": {"kubernetes.io/hostname": node or "none"},
            "containers": [{"name": "worker", "image": "worker:e2e"}],
            "terminationGracePeriodSeconds": 600,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self.bench.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        if node is not None:
            wait_for(lambda: self.phase(name, namespace) == "Running", f"{name} to run")

    def mark(self, name: str, *, busy: bool) -> None:
        """Write the label as the operator does, in its name and with its rights."""
        metadata = {"name": name, "namespace": self.namespace, "labels": {LABEL_BUSY: "true" if busy else "false"}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        flags = ("--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", f"--as={self.operator}")
        self.bench.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(pod))

    def phase(self, name: str, namespace: str = "") -> str:
        """Return a pod's phase; empty when it is gone."""
        path = ("-o", "jsonpath={.status.phase}", "-n", namespace or self.namespace)
        return self.bench.kubectl("get", "pod", name, *path, "--ignore-not-found").stdout

    def is_there(self, name: str) -> bool:
        """Tell whether a pod is there and nobody has begun to delete it."""
        path = ("-o", "jsonpath={.metadata.uid} {.metadata.deletionTimestamp}", "-n", self.namespace)
        return len(self.bench.kubectl("get", "pod", name, *path, "--ignore-not-found").stdout.split()) == 1

    def try_delete(self, name: str, *who: str, query: str = "dryRun=All", namespace: str = "") -> str:
        """Ask for a deletion without meaning it, and return the refusal."""
        path = f"/api/v1/namespaces/{namespace or self.namespace}/pods/{name}?{query}"
        return _refusal(self.bench.kubectl("delete", "--raw", path, *who, check=False))

    def try_evict(self, name: str) -> str:
        """Ask for an eviction without meaning it, and return the refusal."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": self.namespace},
            "deleteOptions": {"dryRun": ["All"]},
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/eviction"
        return _refusal(self.bench.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body), check=False))

    def try_relabel(self, name: str, label: str, *flags: str) -> str:
        """Ask for a label without meaning it, and return the refusal."""
        command = ("label", "pod", name, label, "-n", self.namespace, "--overwrite", "--dry-run=server", *flags)
        return _refusal(self.bench.kubectl(*command, check=False))


def _refusal(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stderr if done.returncode else ""
