"""Changes of the cluster: which requests they become, and which are left out."""

import asyncio
from typing import Any

import pytest

from voicefleet.fleet import Mark, PodRef
from voicefleet.report.events import Note
from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.cluster import KubeCluster
from voicefleet_operator.apiserver.comparing import is_within
from voicefleet_operator.apiserver.kube import VOICE_AGENTS
from voicefleet_operator.errors import ApiError, NotLeaderError
from voicefleet_operator.turns.workqueue import Key, WorkQueue

Body = dict[str, Any]
POD = PodRef("desk-r-0", "uid-1", "7")
CONFIG_PATH = "/api/v1/namespaces/voice/configmaps/desk-spec"
CONFIG = {"kind": "ConfigMap", "metadata": {"namespace": "voice", "name": "desk-spec"}, "data": {"a": "1"}}


class FakeKube:
    """Notes requests and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Body]] = []
        self.error: ApiError | None = None
        self.resize_error: ApiError | None = None
        self.found: dict[str, Body] = {}
        self.gate: asyncio.Event | None = None
        """While it is shut, changes of pods are under way."""

    async def get(self, path: str, **_query: str) -> Body:
        self.requests.append(("GET", path, {}))
        if path not in self.found:
            raise ApiError(404, "NotFound", "")
        return self.found[path]

    def _answer(self, method: str, path: str, body: Body) -> Body:
        self.requests.append((method, path, body))
        if self.error is not None:
            raise self.error
        metadata = {"uid": "uid-1", "name": "n", "namespace": "voice", "resourceVersion": "8"}
        return {"kind": "Status", "metadata": metadata, "spec": {"providerPoolRef": {"name": "pool"}}}

    async def apply(self, path: str, body: Body, *, field_manager: str) -> Body:
        return self._answer(f"APPLY {field_manager}", path, body)

    async def post(self, path: str, body: Body) -> Body:
        return self._answer("POST", path, body)

    async def merge(self, path: str, body: Body) -> Body:
        answer = self._answer("MERGE", path, body)
        if self.gate is not None:
            await self.gate.wait()
        return answer

    async def merge_strategically(self, path: str, body: Body) -> Body:
        self.requests.append(("RESIZE", path, body))
        if self.resize_error is not None:
            raise self.resize_error
        return {"kind": "Status", "metadata": {"uid": "uid-1", "name": "n", "namespace": "voice"}}

    async def delete(self, path: str, body: Body) -> Body:
        return self._answer("DELETE", path, body)


class World:
    def __init__(self) -> None:
        self.kube = FakeKube()
        self.leads = True
        self.seconds = 0.0
        self.queue = WorkQueue()
        self.cache = Cache()
        self.cluster = KubeCluster(
            self.kube,  # type: ignore[arg-type]
            self.cache,
            self.queue,
            may_write=lambda: self.leads,
            clock=lambda: self.seconds,
        )


@pytest.fixture
def world() -> World:
    return World()


async def test_a_child_is_applied_once_and_again_when_it_changes(world: World) -> None:
    await world.cluster.apply(CONFIG)
    await world.cluster.apply(CONFIG)
    assert len(world.kube.requests) == 1

    await world.cluster.apply({**CONFIG, "data": {"a": "2"}})
    method, path, _ = world.kube.requests[1]
    assert (method, path) == ("APPLY voicefleet-operator", CONFIG_PATH)


@pytest.mark.parametrize(
    ("found", "is_applied"),
    [
        ({**CONFIG, "metadata": {**CONFIG["metadata"], "uid": "1"}, "immutable": False}, False),
        ({**CONFIG, "data": {"a": "by hand"}}, True),
        ({**CONFIG, "data": {}}, True),
        (None, True),
    ],
)
async def test_a_child_is_read_now_and_then_and_put_right_if_somebody_changed_it(
    world: World, found: Body | None, is_applied: bool
) -> None:
    await world.cluster.apply(CONFIG)
    if found is not None:
        world.kube.found[CONFIG_PATH] = found
    world.seconds = 600

    await world.cluster.apply(CONFIG)
    await world.cluster.apply(CONFIG)

    methods = [method.split()[0] for method, _, _ in world.kube.requests[1:]]
    assert methods == (["GET", "APPLY"] if is_applied else ["GET"])


@pytest.mark.parametrize("is_there", [True, False])
async def test_what_a_leader_before_us_told_of_is_believed_and_what_is_only_likely_is_read_at_once(
    world: World, is_there: bool
) -> None:
    owned = {**CONFIG, "metadata": {**CONFIG["metadata"], "uid": "uid-2", "ownerReferences": [{"uid": "u"}]}}
    likely = {**owned, "metadata": {**owned["metadata"], "name": "likely"}}
    path = CONFIG_PATH.rpartition("/")[0] + "/likely"
    if is_there:
        world.kube.found[path] = likely
    world.seconds = 1000.0
    world.cluster.trust("u", [owned], likely=[likely])
    world.cluster.trust("u", [{**owned, "data": {"a": "known better by now"}}])

    for _ in range(2):
        await world.cluster.apply(owned)
        await world.cluster.apply(likely)

    requests = [(method.split()[0], where) for method, where, _ in world.kube.requests]
    assert requests == [("GET", path)] + ([] if is_there else [("APPLY", path)])


@pytest.mark.parametrize(
    ("wanted", "found", "within"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": [1]}, {"a": 1}, False),
        ({"a": {}}, {"a": None}, False),
        ({"a": 1}, {}, False),
    ],
)
def test_what_others_add_does_not_matter_but_for_lists(wanted: Body, found: Body, within: bool) -> None:
    assert is_within(wanted, found) is within


async def test_a_child_that_could_not_be_applied_is_not_thought_to_be(world: World) -> None:
    world.kube.error = ApiError(500, "", "")
    with pytest.raises(ApiError):
        await world.cluster.apply(CONFIG)
    world.kube.error = None

    await world.cluster.apply(CONFIG)

    assert len(world.kube.requests) == 2


async def test_a_pod_is_deleted_exactly_as_it_was_read(world: World) -> None:
    await world.cluster.delete_pod("voice", POD)

    ((method, path, body),) = world.kube.requests
    assert (method, path) == ("DELETE", "/api/v1/namespaces/voice/pods/desk-r-0")
    assert body["preconditions"] == {"uid": "uid-1", "resourceVersion": "7"}
    assert "gracePeriodSeconds" not in body


async def test_a_pod_that_is_gone_already_is_as_good_as_deleted(world: World) -> None:
    world.kube.error = ApiError(404, "NotFound", "")

    await world.cluster.delete_pod("voice", POD)


async def test_a_pod_that_changed_meanwhile_is_not_deleted(world: World) -> None:
    world.kube.error = ApiError(409, "Conflict", "")

    with pytest.raises(ApiError):
        await world.cluster.delete_pod("voice", POD)


WORKER: Body = {
    "metadata": {
        "namespace": "voice",
        "name": "desk-r-0",
        "labels": {"app.kubernetes.io/managed-by": "voicefleet", "voicefleet.dev/agent": "desk"},
        "ownerReferences": [{"uid": "uid-desk"}],
    }
}


def there_is(world: World, **labels: str) -> None:
    """Let there be a pod of the worker's name, with some labels changed."""
    world.kube.error = ApiError(409, "AlreadyExists", "")
    named = {name.replace("_", "-"): value for name, value in labels.items()}
    metadata = {**WORKER["metadata"], "uid": "1", "resourceVersion": "9"}
    metadata["labels"] = {**metadata["labels"], **{f"voicefleet.dev/{name}": value for name, value in named.items()}}
    world.kube.found["/api/v1/namespaces/voice/pods"] = {"items": [{"metadata": metadata, "spec": {}}]}


async def test_a_pod_that_exists_already_is_as_good_as_created_and_known_from_then_on(world: World) -> None:
    there_is(world)

    await world.cluster.create_pod(WORKER)

    (pod,) = world.cache.pods
    assert (pod["kind"], pod["metadata"]["name"]) == ("Pod", "desk-r-0")
    assert world.queue.take() == Key("VoiceAgent", "voice", "desk")
    assert world.cluster.taken_names("uid-desk") == frozenset()


async def test_the_name_of_a_pod_that_was_put_aside_is_taken_and_the_agent_is_looked_at_again(world: World) -> None:
    there_is(world, agent="put-aside")

    await world.cluster.create_pod(WORKER)

    assert list(world.cache.pods) == []
    assert world.queue.take() == Key("VoiceAgent", "voice", "desk")
    assert world.cluster.taken_names("uid-desk") == frozenset({"desk-r-0"})

    world.cluster.forget("uid-desk")
    assert world.cluster.taken_names("uid-desk") == frozenset()


async def test_a_taken_name_is_tried_again_some_time_later(world: World) -> None:
    """Nobody tells us when the pod that has it goes."""
    there_is(world, agent="put-aside")
    await world.cluster.create_pod(WORKER)

    world.seconds += 600
    assert world.cluster.taken_names("uid-desk") == frozenset({"desk-r-0"})
    world.seconds += 1
    assert world.cluster.taken_names("uid-desk") == frozenset()


async def test_an_idle_pod_loses_the_annotation_that_holds_its_node(world: World) -> None:
    await world.cluster.mark_pod("voice", Mark(POD, busy=False))

    _, _, body = world.kube.requests[0]
    assert body["metadata"] == {
        "uid": "uid-1",
        "labels": {"voicefleet.dev/busy": "false"},
        "annotations": {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
            "karpenter.sh/do-not-disrupt": None,
        },
    }


async def test_a_status_reaches_no_other_object_of_the_same_name(world: World) -> None:
    metadata = {"name": "desk", "namespace": "voice", "uid": "uid-9", "resourceVersion": "3"}
    body = {"apiVersion": "voicefleet.dev/v1alpha1", "kind": "VoiceAgent", "metadata": metadata}

    await world.cluster.write_status(VOICE_AGENTS, body, {"calls": 1})

    method, path, sent = world.kube.requests[0]
    assert (method, path) == (
        "APPLY voicefleet-operator/status",
        "/apis/voicefleet.dev/v1alpha1/namespaces/voice/voiceagents/desk/status",
    )
    assert sent["metadata"] == {"name": "desk", "namespace": "voice", "uid": "uid-9"}


async def test_what_somebody_else_wrote_just_before_is_looked_at_though_the_watch_tells_of_it_no_more(
    world: World,
) -> None:
    metadata = {"name": "n", "namespace": "voice", "uid": "uid-1", "resourceVersion": "3"}

    await world.cluster.write_status(VOICE_AGENTS, {"apiVersion": "v", "kind": "K", "metadata": metadata}, {})

    assert world.queue.take() == Key("VoiceAgent", "voice", "n")


ABOUT = {"apiVersion": "v", "kind": "K", "metadata": {"name": "n", "namespace": "voice", "uid": "u"}}


async def test_the_same_event_counts_and_is_told_once_a_minute(world: World) -> None:
    for world.seconds in (0.0, 30.0, 61.0):
        await world.cluster.tell(Note("Normal", "Scaled", "to 3 workers"), ABOUT)

    assert [body["count"] for _, _, body in world.kube.requests] == [1, 2]
    assert len({path for _, path, _ in world.kube.requests}) == 1


async def test_of_words_that_never_repeat_only_the_latest_are_remembered(world: World) -> None:
    for number in range(200):
        await world.cluster.tell(Note("Normal", "Scaled", f"to {number} workers"), ABOUT)
    world.seconds = 61.0
    for number in (0, 199):
        await world.cluster.tell(Note("Normal", "Scaled", f"to {number} workers"), ABOUT)

    assert [body["count"] for _, _, body in world.kube.requests[-2:]] == [1, 2]


async def test_the_files_of_a_revision_are_forgotten_with_it(world: World) -> None:
    owned = {**CONFIG, "metadata": {**CONFIG["metadata"], "uid": "uid-2", "ownerReferences": [{"uid": "u"}]}}
    world.kube.found[CONFIG_PATH] = owned
    assert await world.cluster.read_config_map("voice", "desk-spec") == owned

    await world.cluster.remove("ConfigMap", "voice", "desk-spec", owner=ABOUT)
    world.kube.found.clear()

    assert await world.cluster.read_config_map("voice", "desk-spec") is None


async def test_the_files_of_a_revision_are_read_anew_when_its_size_was_changed(world: World) -> None:
    owned = {**CONFIG, "metadata": {**CONFIG["metadata"], "ownerReferences": [{"uid": "u"}]}}
    world.kube.found[CONFIG_PATH] = owned
    assert await world.cluster.read_config_map("voice", "desk-spec") == owned

    larger = {**owned, "data": {"a": "2"}}
    await world.cluster.apply(larger)
    world.kube.found[CONFIG_PATH] = larger

    assert await world.cluster.read_config_map("voice", "desk-spec") == larger


@pytest.mark.parametrize("act", ["apply", "create", "secret", "delete", "mark", "status"])
async def test_who_does_not_lead_changes_nothing(world: World, act: str) -> None:
    world.leads = False
    owned = {"kind": "Secret", "metadata": {"namespace": "voice", "name": "x", "ownerReferences": [{"uid": "u"}]}}
    body = {"apiVersion": "v", "kind": "K", "metadata": {"name": "n", "namespace": "voice", "uid": "u"}}
    acts = {
        "apply": lambda: world.cluster.apply(CONFIG),
        "create": lambda: world.cluster.create_pod(owned),
        "secret": lambda: world.cluster.create_secret(owned, again=True),
        "delete": lambda: world.cluster.delete_pod("voice", POD),
        "mark": lambda: world.cluster.mark_pod("voice", Mark(POD, busy=True)),
        "status": lambda: world.cluster.write_status(VOICE_AGENTS, body, {}),
    }

    with pytest.raises(NotLeaderError):
        await acts[act]()

    assert world.kube.requests == []


async def test_only_so_many_changes_are_under_way_at_once_that_the_lease_never_stands_in_line(world: World) -> None:
    world.kube.gate = asyncio.Event()
    marks = [asyncio.create_task(world.cluster.mark_pod("voice", Mark(POD, busy=True))) for _ in range(100)]
    await _let_others_run()
    under_way = len(world.kube.requests)

    world.kube.gate.set()
    await asyncio.gather(*marks)

    assert (under_way, len(world.kube.requests)) == (32, 100)


async def test_a_change_whose_turn_comes_after_the_lead_was_lost_is_not_made(world: World) -> None:
    world.kube.gate = asyncio.Event()
    marks = [asyncio.create_task(world.cluster.mark_pod("voice", Mark(POD, busy=True))) for _ in range(40)]
    await _let_others_run()

    world.leads = False
    world.kube.gate.set()
    outcomes = await asyncio.gather(*marks, return_exceptions=True)

    assert len(world.kube.requests) == 32
    assert sum(isinstance(outcome, NotLeaderError) for outcome in outcomes) == 8


async def _let_others_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_config_map_is_made_and_not_applied_until_somebody_changed_it(world: World) -> None:
    await world.cluster.apply(CONFIG)
    assert [method for method, *_ in world.kube.requests] == ["POST"]

    world.seconds = 10_000.0
    await world.cluster.apply(CONFIG)

    assert [method for method, *_ in world.kube.requests] == ["POST", "GET", "APPLY voicefleet-operator"]


async def test_a_config_map_that_is_there_already_is_applied(world: World) -> None:
    refusal = ApiError(409, "AlreadyExists", "")
    world.kube.error = refusal
    with pytest.raises(ApiError):
        await world.cluster.apply(CONFIG)

    assert [method for method, *_ in world.kube.requests] == ["POST", "APPLY voicefleet-operator"]


async def test_a_pod_is_known_as_it_was_made_with_what_the_server_gave_it(world: World) -> None:
    labels = {"voicefleet.dev/agent": "desk"}
    spec = {"containers": [{"name": "worker"}]}
    await world.cluster.create_pod({"metadata": {"namespace": "voice", "name": "n", "labels": labels}, "spec": spec})

    (pod,) = world.cache.pods
    assert (pod["metadata"]["uid"], pod["spec"], pod["status"]["phase"]) == ("uid-1", spec, "Pending")


POLICY_PATH = "/apis/networking.k8s.io/v1/namespaces/voice/networkpolicies/desk-worker"
AGENT = {"metadata": {"namespace": "voice", "name": "desk", "uid": "uid-agent"}}


@pytest.mark.parametrize(
    ("owners", "goes"), [([{"uid": "uid-agent"}], True), ([{"uid": "uid-another"}], False), ([], False)]
)
async def test_only_a_child_of_the_agent_is_removed_and_not_what_somebody_else_named_like_it(
    world: World, owners: list[Body], goes: bool
) -> None:
    world.kube.found[POLICY_PATH] = {"metadata": {"uid": "uid-policy", "ownerReferences": owners}}

    for _ in range(2):
        await world.cluster.remove("NetworkPolicy", "voice", "desk-worker", owner=AGENT)

    deletions = [body["preconditions"] for method, _, body in world.kube.requests if method == "DELETE"]
    assert deletions == ([{"uid": "uid-policy"}] if goes else [])
    assert len(world.kube.requests) == 1 + goes


async def test_what_is_to_go_and_was_never_there_is_as_good_as_removed(world: World) -> None:
    await world.cluster.remove("NetworkPolicy", "voice", "desk-worker", owner=AGENT)

    assert [method for method, _, _ in world.kube.requests] == ["GET"]


@pytest.mark.parametrize("status", [422, 404, 405])
async def test_a_pod_that_the_cluster_does_not_resize_is_noted_so_that_another_takes_its_place(
    world: World, status: int
) -> None:
    world.kube.resize_error = ApiError(status, "Invalid", "Pod running on node without support for resize")

    await world.cluster.resize_pod("voice", POD, {"cpu": "2"})

    (_, path, _), (method, noted_on, change) = world.kube.requests
    assert path == f"{noted_on}/resize"
    assert (method, change["metadata"]["annotations"]) == ("MERGE", {"voicefleet.dev/resize-refused": "true"})


@pytest.mark.parametrize("status", [403, 500])
async def test_a_resize_that_may_be_had_another_time_is_noted_nowhere(world: World, status: int) -> None:
    world.kube.resize_error = ApiError(status, "Forbidden", "exceeded quota")

    with pytest.raises(ApiError):
        await world.cluster.resize_pod("voice", POD, {"cpu": "2"})

    assert [method for method, _, _ in world.kube.requests] == ["RESIZE"]


async def test_a_pod_that_is_gone_cannot_be_resized_nor_replaced(world: World) -> None:
    world.kube.resize_error = world.kube.error = ApiError(404, "NotFound", "")

    with pytest.raises(ApiError):
        await world.cluster.resize_pod("voice", POD, {"cpu": "2"})
