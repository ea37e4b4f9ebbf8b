"""The worker of a VoiceAgent: the pod, its size, and how long it may take to leave."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, Rule, exactly_one_of, is_set
from voicefleet.api.cel import quoted
from voicefleet.api.markers import ListMap, ListSet
from voicefleet.api.references import (
    PASTED,
    SECRET_SHAPE,
    ConfigMapKeyRef,
    LocalRef,
    SecretKeyRef,
    looks_like_a_secret,
    no_secret_values,
)
from voicefleet.api.types import Image, Items, JsonObject, ObjectName, Quantity, Seconds, Text

LabelText = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
LabelMap = Annotated[dict[str, LabelText], Field(max_length=32)]
RESERVED_PREFIX = "voicefleet.dev/"


def _no_reserved_keys(name: str) -> Rule:
    return Rule(
        cel=f"!has(self.{name}) || self.{name}.all(k, !k.startsWith('{RESERVED_PREFIX}'))",
        check=lambda model: not any(key.startswith(RESERVED_PREFIX) for key in getattr(model, name) or {}),
        message=f"keys under {RESERVED_PREFIX} are voicefleet's own: choose another prefix",
        reason="FieldValueForbidden",
    )


class Resources(ApiModel):
    """Size of one worker pod; requests and limits are the same, so that the pod is Guaranteed."""

    cpu: Quantity = "4"
    """CPU cores of one worker."""
    memory: Quantity = "8Gi"
    """Memory of one worker."""
    ephemeral_storage: Quantity = "10Gi"
    """Local disk of one worker, for recordings under way and logs."""


class EnvValueFrom(ApiModel):
    """Where a variable's value comes from."""

    RULES: ClassVar = (exactly_one_of("secret_key_ref", "config_map_key_ref"),)

    secret_key_ref: SecretKeyRef | None = None
    """Take the value from a Secret."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """Take the value from a ConfigMap."""


class EnvVar(ApiModel):
    """One environment variable of the worker."""

    RULES: ClassVar = (
        exactly_one_of("value", "value_from"),
        Rule(
            cel=f"!has(self.value) || !self.value.matches({quoted(SECRET_SHAPE)})",
            check=lambda env: env.value is None or not looks_like_a_secret(env.value),
            message=PASTED.replace("write the Secret's name and key here", "use valueFrom.secretKeyRef"),
            reason="FieldValueForbidden",
        ),
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] | None = None
    """Plain value; never a secret."""
    value_from: EnvValueFrom | None = None
    """Where to take the value from instead."""


class Toleration(ApiModel):
    """A taint that workers may live with."""

    key: Annotated[str, StringConstraints(max_length=316)] | None = None
    """Key of the taint; absent means every key."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How the taint's value is compared."""
    value: LabelText | None = None
    """Value of the taint, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent means every effect."""
    toleration_seconds: Seconds | None = None
    """How long a NoExecute taint is endured."""


class PodTemplate(ApiModel):
    """What may be said about the pods besides size and image; anything else would hand out the operator's rights."""

    RULES: ClassVar = (
        _no_reserved_keys("labels"),
        _no_reserved_keys("annotations"),
        no_secret_values("annotations"),
    )

    labels: LabelMap | None = None
    """Further labels of the pods."""
    annotations: Annotated[dict[str, Text], Field(max_length=32)] | None = None
    """Further annotations of the pods."""
    node_selector: LabelMap | None = None
    """Labels that a node must have."""
    tolerations: Annotated[Items[Toleration], Field(max_length=32)] = ()
    """Taints that the pods live with."""
    affinity: JsonObject | None = None
    """Affinity as in a pod."""
    topology_spread_constraints: Annotated[Items[JsonObject], Field(max_length=8)] = ()
    """Spread constraints as in a pod; absent means spread over zones and nodes where possible."""
    priority_class_name: ObjectName | None = None
    """Priority class of the pods."""
    runtime_class_name: ObjectName | None = None
    """Runtime class of the pods."""
    env: Annotated[Items[EnvVar], Field(max_length=64), ListMap("name")] = ()
    """Further environment variables of the worker."""


class Egress(ApiModel):
    """Whom the workers may talk to beyond DNS, LiveKit and the providers' ports."""

    mode: Literal["Open", "Restricted", "Unmanaged"] = "Open"
    """Open allows all but the metadata address, Restricted only the listed ranges, Unmanaged writes no policy."""
    cidrs: Annotated[
        Items[Annotated[str, StringConstraints(max_length=43, pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")]],
        Field(max_length=64),
        ListSet(),
    ] = ()
    """Address ranges that workers may reach when the mode is Restricted."""


class Worker(ApiModel):
    """The pods that hold the calls."""

    RULES: ClassVar = (
        Rule(
            cel="self.egress.mode != 'Restricted' || has(self.egress.cidrs)",
            check=lambda worker: worker.egress.mode != "Restricted" or is_set(worker.egress, "cidrs"),
            message="egress.mode Restricted needs egress.cidrs: list the ranges of LiveKit and of your providers",
        ),
    )

    image: Image | None = None
    """Image of the worker; absent means the one that this version of the operator was released with."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is pulled; absent means Kubernetes' own default."""
    image_pull_secrets: Annotated[Items[LocalRef], Field(max_length=8), ListMap("name")] = ()
    """Secrets that open the image's registry."""
    sessions_per_worker: Annotated[int, Field(ge=1, le=200)] = 12
    """Calls that one worker holds at once; 10 to 25 suit the default size."""
    resources: Resources = Resources()
    """Size of one worker."""
    drain_grace_seconds: Annotated[int, Field(ge=30, le=86_400)] = 600
    """How long a worker that must go may finish its calls; pod grace and drain limit follow from it."""
    job_memory_limit_mebibytes: Annotated[int, Field(ge=64, le=65_536)] | None = None
    """Memory above which a call is ended for the others' sake; absent means a quarter of the worker's, 512 at least."""
    idle_processes: Annotated[int, Field(ge=0, le=200)] | None = None
    """Warm processes that wait for a call; absent means as many as there are free slots, up to four."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much the worker logs."""
    egress: Egress = Egress()
    """Whom the workers may talk to."""
    pod_template: PodTemplate = PodTemplate()
    """What else is said about the pods."""
