"""Every label, annotation, file, path and reason that more than one part of voicefleet says aloud."""

from enum import StrEnum

DOMAIN = "voicefleet.dev"
FIELD_MANAGER = "voicefleet-operator"
STATUS_FIELD_MANAGER = "voicefleet-operator/status"

# Labels of the objects that belong to a VoiceAgent.
LABEL_AGENT = f"{DOMAIN}/agent"
LABEL_REVISION = f"{DOMAIN}/revision"
LABEL_BUSY = f"{DOMAIN}/busy"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "voicefleet"

# Set by a person or at the drain limit: the pod may go although it holds calls.
ANNOTATION_END_CALLS = f"{DOMAIN}/end-calls"
# Since when a worker of an older revision has taken no new calls.
ANNOTATION_CORDONED_AT = f"{DOMAIN}/cordoned-at"
# The cluster does not change the size of this pod; another one has to take its place.
ANNOTATION_RESIZE_REFUSED = f"{DOMAIN}/resize-refused"
# By it a person lets a canary go on: the revision's number and the step that it may leave.
ANNOTATION_PROMOTE = f"{DOMAIN}/promote"
# By it a person, or whoever replaces a key, says that a Secret has changed; any other word than the last one does.
ANNOTATION_SECRETS_CHANGED = f"{DOMAIN}/secrets-changed"
# When the kubelet of this pod was last made to look at its Secrets.
ANNOTATION_REFRESHED_AT = f"{DOMAIN}/refreshed-at"
# By it pods are told apart that are on different LiveKit servers, or on one with different keys.
ANNOTATION_LIVEKIT = f"{DOMAIN}/livekit"
# When this pod was last called back whose deletion may yet be carried out: it finds another version of it then.
ANNOTATION_KEPT_AT = f"{DOMAIN}/kept-at"
# Keeps a VoiceAgent until the calls of its workers are over.
FINALIZER = f"{DOMAIN}/drain"
# Keeps a ProviderPool until no VoiceAgent uses it.
POOL_FINALIZER = f"{DOMAIN}/in-use"

ANNOTATION_SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
ANNOTATION_DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"

# Where a worker finds what it needs; the operator mounts it there.
SPEC_DIRECTORY = "/etc/voicefleet/spec"
AGENT_FILE = "agent.json"
POOL_FILE = "pool.json"
# Beside them in the same ConfigMap, for the operator: how pods of the revision are made.
TEMPLATE_FILE = "pod.json"
SECRETS_DIRECTORY = "/etc/voicefleet/secrets"
# Instructions that stand in ConfigMaps of the user's.
TEXTS_DIRECTORY = "/etc/voicefleet/texts"
CONTROL_TOKEN_DIRECTORY = "/etc/voicefleet/control"
CONTROL_TOKEN_KEY = "token"
WRITABLE_DIRECTORY = "/var/run/voicefleet"
# Files of calls on their way to where they are kept: on a volume of the pod, so that they outlive its container.
FILES_DIRECTORY = f"{WRITABLE_DIRECTORY}/files"
# The claims in which an agent's files are kept, each by its name.
STORES_DIRECTORY = "/var/lib/voicefleet/stores"
# The worker tells its revision in its state; the downward API fills it from the pod's label.
ENV_REVISION = "VOICEFLEET_REVISION"
# And by this the operator knows that it speaks to the pod that it means.
ENV_POD_UID = "VOICEFLEET_POD_UID"
# Whoever is started with it takes no calls, and looks for those of agents without workers. A flag and no variable: a
# worker that is too old to know it does not start, and else it would take calls.
LOOKOUT_FLAG = "--lookout"
# Where the kubelet looks for what a container said before it ended, and how a worker begins that.
LAST_WORDS_FILE = "/dev/termination-log"
LAST_WORDS_PREFIX = "voicefleet-worker: "

CONTROL_PORT = 8081
STATE_PATH = "/v1/state"
CORDON_PATH = "/v1/cordon"
UNCORDON_PATH = "/v1/uncordon"
LOAD_PATH = "/v1/load"
DRAIN_PATH = "/v1/drain"
CALLERS_PATH = "/v1/callers"
HEARTBEAT_SECONDS = 5
SILENT_AFTER_SECONDS = 15
# A kubelet looks at the Secrets of a pod by itself every 60 to 90 s; then it writes the files.
KUBELET_PERIOD_SECONDS = 100


class Reason(StrEnum):
    """Reasons of conditions and events, as programs match them."""

    READY = "Ready"
    STARTING = "WorkersStarting"
    NO_WORKERS = "NoWorkers"
    CALLS_FAIL = "CallsFail"
    POOL_MISSING = "PoolMissing"
    POOL_FORBIDDEN = "PoolForbidden"
    SECRET_MISSING = "SecretMissing"
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    LIVEKIT_REFUSES = "LiveKitRefuses"
    LIVEKIT_SILENT = "LiveKitSilent"
    POD_FAILED = "PodFailed"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL = "ImagePullFailed"
    REFUSED = "RefusedByCluster"
    SUSPENDED = "Suspended"
    INVALID = "InvalidSpec"
    DRAINING = "Draining"
    BLIND = "LoadUnknown"
    PODS_UNKNOWN = "PodsUnknown"
    RESIZING = "Resizing"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_PAUSED = "RolloutPaused"
    ROLLOUT_STALLED = "RolloutStalled"
    ROLLED_BACK = "RolledBack"
    DELETING = "Deleting"
    AS_WANTED = "AsWanted"
    NOTHING_KNOWN = "NothingKnown"
    NO_PROVIDER = "JobWithoutProvider"
    CREDENTIALS_REFUSED = "CredentialsRefused"
    IN_USE = "InUse"


def config_map_name(agent: str, revision: str) -> str:
    """Return the name of the ConfigMap that holds one revision of an agent; running workers keep reading theirs."""
    return f"{agent}-{revision}"


def control_secret_name(agent: str, key_id: str) -> str:
    """Return the name of the Secret with the token of an agent's control ports that follows from one control key."""
    return f"{agent}-control-{key_id}"


def service_account_name(agent: str) -> str:
    """Return the name of the ServiceAccount that an agent's workers run as."""
    return f"{agent}-worker"


def worker_name(agent: str, revision: str, number: int) -> str:
    """Return a worker's name; a stale cache that asks for it twice is answered 409, not with a second pod."""
    return f"{agent}-{revision}-{number}"


def lookout_name(agent: str) -> str:
    """Return the name of an agent's lookout, by which it is told from workers: labels can be written over."""
    return f"{agent}-lookout"


def agent_dispatch_name(namespace: str, agent: str) -> str:
    """Return the name under which all workers of an agent register with LiveKit."""
    return f"{namespace}.{agent}"


def text_file(config_map: str, key: str) -> str:
    """Return where a worker finds one key of one ConfigMap, below the texts' directory."""
    return f"{config_map}/{key}"


def health_key(namespace: str, pool: str) -> str:
    """Return the key in Redis under which the workers of a pool share what they know of its providers."""
    return f"voicefleet:{{{namespace}/{pool}}}:health"


def secret_file(secret: str, key: str) -> str:
    """Return where a worker finds one key of one Secret, below the secrets' directory."""
    return f"{secret}/{key}"
