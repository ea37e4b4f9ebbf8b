"""What somebody asked of an apiserver, by its audit log, against what the chart's roles would let them ask."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROLE_KINDS = ("Role", "ClusterRole")


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """One kind of request that was made."""

    verb: str
    group: str
    resource: str
    """With its subresource."""
    namespace: str
    name: str
    code: int = 0
    forbidden: bool = False
    """No rule allowed it. A code of 403 alone may also be an admission's, as of a pod whose owner has just gone."""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {_full(self.group, self.resource)} {self.name}{where} ({self.code})"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One verb on one resource, as one role grants it; roles of one name in several namespaces are one."""

    role: str
    verb: str
    group: str
    resource: str
    name: str = ""
    namespaces: tuple[str, ...] = ()
    """Empty for all of them, and for what is in none."""

    def covers(self, asked: Asked) -> bool:
        """Tell whether it would let a request pass."""
        same = (self.verb, self.group, self.resource) == (asked.verb, asked.group, asked.resource)
        here = not self.namespaces or asked.namespace in self.namespaces
        return same and here and self.name in ("", asked.name)

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"{self.role}: {self.verb} {_full(self.group, self.resource)}{name}"


def audit_flags(folder: Path, users: Iterable[str]) -> tuple[str, ...]:
    """Write an audit policy for some users and return the apiserver's flags for it."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{"level": "Metadata", "users": sorted(users)}, {"level": "None"}],
    }
    (folder / "policy.json").write_text(json.dumps(policy))
    return (f"--audit-policy-file={folder / 'policy.json'}", f"--audit-log-path={folder / 'audit.log'}")


def read_asked(folder: Path, user: str) -> list[Asked]:
    """Return what a user asked for, each kind of request once; watches are told when they end."""
    lines = (folder / "audit.log").read_text().splitlines()
    events = (json.loads(line) for line in lines)
    return sorted({asked for event in events if event["user"]["username"] == user for asked in _asked(event)})


def read_grants(documents: Iterable[dict[str, Any]]) -> list[Grant]:
    """Return what the roles among some documents grant."""
    namespaces: dict[str, set[str]] = {}
    grants: set[Grant] = set()
    for role in (document for document in documents if document["kind"] in ROLE_KINDS):
        name = role["metadata"]["name"]
        if role["kind"] == "Role":
            namespaces.setdefault(name, set()).add(role["metadata"]["namespace"])
        grants |= {grant for rule in role["rules"] for grant in _grants(name, rule)}
    return sorted(
        Grant(g.role, g.verb, g.group, g.resource, g.name, tuple(sorted(namespaces.get(g.role, ())))) for g in grants
    )


def unused(grants: Iterable[Grant], asked: Iterable[Asked]) -> list[str]:
    """Return what could be taken away and nobody would notice: no request is let pass by it alone."""
    grants, asked = list(grants), list(asked)
    letting = [[grant for grant in grants if grant.covers(one)] for one in asked]
    needed = {found[0] for found in letting if len(found) == 1}
    return [str(grant) for grant in grants if grant not in needed]


def refused(asked: Iterable[Asked]) -> list[str]:
    """Return what was asked for in vain."""
    return [str(one) for one in asked if one.forbidden]


def uncovered(grants: Iterable[Grant], asked: Iterable[Asked]) -> list[str]:
    """Return what passed by somebody else's leave."""
    grants = list(grants)
    return [str(one) for one in asked if not any(grant.covers(one) for grant in grants)]


def _asked(event: dict[str, Any]) -> Iterator[Asked]:
    target = event.get("objectRef")
    if target is None or "resource" not in target:
        return
    resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
    code = event.get("responseStatus", {}).get("code", 0)
    # A collection has no name, and a name that was chosen anew each time would make each request a kind of its own.
    named = target["resource"] in ("leases", "secrets")
    name = target.get("name", "") if named else ""
    verbs = [event["verb"]]
    if event["verb"] == "patch" and code == 201:
        # Server-side apply of what was not there: both rights were asked for.
        verbs.append("create")
    forbidden = event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
    for verb in verbs:
        yield Asked(verb, target.get("apiGroup", ""), resource, target.get("namespace", ""), name, code, forbidden)


def _grants(role: str, rule: dict[str, Any]) -> Iterator[Grant]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames") or [""]:
                    yield Grant(role, verb, group, resource, name)


def _full(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource
