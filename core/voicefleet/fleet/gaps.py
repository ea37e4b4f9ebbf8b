"""Which wishes about a fleet this version does not act on.

Silence would let people believe that a schedule holds or a rollout stands still. What equals its default was not
wished for: the apiserver writes defaults into every object.
"""

from collections.abc import Iterator

from voicefleet.api.base import ApiModel
from voicefleet.api.voiceagent import VoiceAgentSpec

_HONOURED = {
    "scaling": ("mode", "min", "max", "warm_floor_slots", "scale_to_zero"),
    "rollout": ("max_surge_percent",),
}


def name_gaps(spec: VoiceAgentSpec) -> tuple[str, ...]:
    """Return the fields that somebody chose and that have no effect on the fleet yet."""
    gaps = [*_chosen("scaling", spec.scaling), *_chosen("rollout", spec.rollout)]
    gaps += _chosen("worker.egress", spec.worker.egress)
    if spec.deletion_policy != "Drain":
        gaps.append("spec.deletionPolicy")
    return tuple(gaps)


def _chosen(where: str, part: ApiModel) -> Iterator[str]:
    for name, field in type(part).model_fields.items():
        if name not in _HONOURED.get(where, ()) and getattr(part, name) != field.default:
            yield f"spec.{where}.{field.alias}"
