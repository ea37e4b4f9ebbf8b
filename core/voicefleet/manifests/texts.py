"""Which keys of which ConfigMaps the workers of an agent read their instructions from."""

from collections import defaultdict

from voicefleet.api import VoiceAgent
from voicefleet.conversation.dialogue import agents_met

TextKeys = dict[str, tuple[str, ...]]


def texts_of_worker(agent: VoiceAgent) -> TextKeys:
    """Return the keys by ConfigMap, both sorted, so that the same spec always gives the same pod."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for index in agents_met(agent.spec):
        ref = agent.spec.agents[index].instructions_from
        if ref is not None:
            keys[ref.name].add(ref.key)
    return {name: tuple(sorted(keys[name])) for name in sorted(keys)}
