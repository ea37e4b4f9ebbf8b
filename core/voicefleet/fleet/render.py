"""What an agent's spec asks for, worked out once for each version of agent and pool; or why it cannot be had."""

import hashlib
import json
from dataclasses import dataclass

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.conversation.dialogue import DialogueProblem, plan_dialogue
from voicefleet.fleet.observed import Trouble
from voicefleet.manifests import Manifest
from voicefleet.manifests.children import build_service_account
from voicefleet.manifests.network import build_network_policy, network_policy_name
from voicefleet.manifests.revision import Revision, build_config_map, render_revision
from voicefleet.names import Reason

_DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Rendered:
    """A revision and what stands beside its pods."""

    revision: Revision
    children: tuple[Manifest, ...]
    """What is applied before a pod is created."""
    unwanted: tuple[tuple[str, str], ...] = ()
    """Kind and name of children that an earlier spec asked for and this one does not."""
    not_yet: tuple[str, ...] = ()
    """Fields that were written down and that this version does not act on."""
    digest: str = ""
    """What all children together look like, by which a new operator knows that they are applied."""


def render_agent(
    agent: VoiceAgent, pool: ProviderPool, *, default_image: str, operator_namespace: str, control_key_id: str
) -> Rendered | Trouble:
    """Return what the spec asks for, or what workers would refuse to start with, instead of letting them crash."""
    dialogue = plan_dialogue(agent, pool)
    if isinstance(dialogue, DialogueProblem):
        return _put_in_words(dialogue, pool)
    revision = render_revision(agent, pool, default_image=default_image)
    policy = build_network_policy(agent, operator_namespace=operator_namespace)
    children = (
        build_service_account(agent),
        build_config_map(agent, revision),
        *([policy] if policy else []),
    )
    unwanted = () if policy else (("NetworkPolicy", network_policy_name(agent.metadata.name)),)
    everything = json.dumps([children, unwanted, control_key_id], sort_keys=True)
    digest = hashlib.sha256(everything.encode()).hexdigest()[:_DIGEST_LENGTH]
    return Rendered(revision, children, unwanted, dialogue.not_yet, digest)


def find_obstacle(agent: VoiceAgent, pool: ProviderPool | None, *, pool_is_allowed: bool) -> Trouble | None:
    """Say why the agent has no pool to draw on, if so."""
    ref, here = agent.spec.provider_pool_ref, agent.metadata.namespace
    where = ref.namespace or here
    if pool is None:
        message = (
            f"ProviderPool {ref.name!r} does not exist in namespace {where!r}, or its spec is not valid: "
            "create or correct it, or correct spec.providerPoolRef."
        )
        return Trouble(Reason.POOL_MISSING, message)
    if not pool_is_allowed:
        message = (
            f"ProviderPool {ref.name!r} of namespace {where!r} does not let namespace {here!r} use it: "
            "its owner must add the namespace to spec.allowedNamespaces."
        )
        return Trouble(Reason.POOL_FORBIDDEN, message)
    return None


def _put_in_words(problem: DialogueProblem, pool: ProviderPool) -> Trouble:
    where = f"{problem.field} of ProviderPool {pool.metadata.name!r}" if problem.source == "pool" else problem.field
    return Trouble(Reason.INVALID, f"{where}: {problem.message}.")
