"""Our copy of the cluster, and what a list reveals that no watch told of."""

from typing import Any

import pytest

from voicefleet_operator.apiserver.cache import Cache, Store
from voicefleet_operator.apiserver.kube import PODS, PROVIDER_POOLS, VOICE_AGENTS
from voicefleet_operator.turns.workqueue import Key

Body = dict[str, Any]


def body(name: str, version: int, *, namespace: str = "voice", uid: str | None = None, agent: str = "desk") -> Body:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"voicefleet.dev/agent": agent},
            "managedFields": [{"manager": "somebody"}],
        },
        "spec": {"providerPoolRef": {"name": "pool"}},
    }


@pytest.fixture
def store() -> Store:
    return Store(PODS)


def listed(store: Store, *bodies: Body, version: int, namespace: str | None = None) -> list[tuple[str, bool]]:
    changes = [change for each in bodies if (change := store.put(each))]
    uids = {each["metadata"]["uid"] for each in bodies}
    changes += store.drop_missing(uids, version=version, namespace=namespace)
    return [(change.body["metadata"]["name"], change.gone) for change in changes]


def test_what_vanished_during_a_gap_is_gone_by_the_next_list(store: Store) -> None:
    store.put(body("a", 1))
    store.put(body("b", 2))

    assert listed(store, body("b", 2), version=10) == [("a", True)]
    assert store.get("voice", "a") is None
    assert len(store) == 1


def test_what_came_after_a_list_was_made_is_not_taken_for_gone(store: Store) -> None:
    store.put(body("new", 11))

    assert listed(store, version=10) == []
    assert store.get("voice", "new") is not None


def test_what_is_given_its_labels_back_is_here_again(store: Store) -> None:
    store.put(body("a", 5))
    # To a watch that asks for labels it is as if it were deleted.
    store.drop(body("a", 12))

    assert store.put(body("a", 12)) is None
    assert store.put(body("a", 13)) is not None
    assert store.get("voice", "a") is not None


def test_what_was_deleted_after_a_list_was_made_does_not_rise_again(store: Store) -> None:
    store.put(body("a", 5))
    store.drop(body("a", 12))

    assert listed(store, body("a", 5), version=10) == []
    assert len(store) == 0


def test_an_older_version_does_not_replace_a_newer_one(store: Store) -> None:
    store.put(body("a", 9))

    assert store.put(body("a", 10)) is not None
    assert store.put(body("a", 9)) is None
    assert store.put(body("a", 10)) is None


def test_a_list_of_one_namespace_says_nothing_about_another(store: Store) -> None:
    store.put(body("a", 1, namespace="other"))

    assert listed(store, version=10, namespace="voice") == []


def test_a_name_that_was_given_away_belongs_to_the_new_object(store: Store) -> None:
    store.put(body("a", 1, uid="first"))
    store.put(body("a", 3, uid="second"))
    store.drop(body("a", 2, uid="first"))

    found = store.get("voice", "a")
    assert found is not None
    assert found["metadata"]["uid"] == "second"


def test_who_wrote_which_field_is_not_kept(store: Store) -> None:
    store.put(body("a", 1))

    assert [pod["metadata"].get("managedFields") for pod in store.of_agent("voice", "desk")] == [None]


def test_a_pod_concerns_its_agent() -> None:
    assert Cache().observe(PODS, body("desk-1-0", 1)) == [Key("VoiceAgent", "voice", "desk")]


def test_an_agent_concerns_itself_and_its_pool() -> None:
    keys = Cache().observe(VOICE_AGENTS, body("desk", 1))

    assert keys == [Key("VoiceAgent", "voice", "desk"), Key("ProviderPool", "voice", "pool")]


def test_a_pool_concerns_all_agents_that_refer_to_it() -> None:
    cache = Cache()
    cache.observe(VOICE_AGENTS, body("desk", 1))

    keys = cache.observe(PROVIDER_POOLS, body("pool", 2))

    assert keys == [Key("ProviderPool", "voice", "pool"), Key("VoiceAgent", "voice", "desk")]


def test_how_a_pool_is_concerns_none_of_its_agents_and_what_is_wanted_of_it_does() -> None:
    cache = Cache()
    cache.observe(VOICE_AGENTS, body("desk", 1))
    pool = Key("ProviderPool", "voice", "pool")

    def of(version: int, generation: int, **rest: object) -> Body:
        known = body("pool", version)
        return {**known, "metadata": {**known["metadata"], "generation": generation}, **rest}

    cache.observe(PROVIDER_POOLS, of(2, 1))
    assert cache.observe(PROVIDER_POOLS, of(3, 1, status={"agents": 1})) == [pool]
    assert cache.observe(PROVIDER_POOLS, of(4, 2)) == [pool, Key("VoiceAgent", "voice", "desk")]
    assert cache.observe(PROVIDER_POOLS, of(5, 2), gone=True) == [pool, Key("VoiceAgent", "voice", "desk")]


def test_an_agent_that_takes_another_pool_concerns_the_one_that_it_leaves() -> None:
    cache = Cache()
    cache.observe(VOICE_AGENTS, body("desk", 1))
    moved = {**body("desk", 2), "spec": {"providerPoolRef": {"name": "other"}}}

    assert cache.observe(VOICE_AGENTS, moved) == [
        Key("VoiceAgent", "voice", "desk"),
        Key("ProviderPool", "voice", "other"),
        Key("ProviderPool", "voice", "pool"),
    ]


def test_what_is_known_already_concerns_nobody() -> None:
    cache = Cache()
    cache.observe(PODS, body("desk-1-0", 1))

    assert cache.observe(PODS, body("desk-1-0", 1)) == []
    assert cache.observe(PODS, body("unknown", 1), gone=True) == []


def pod(name: str, *, node: str, spec: dict[str, Any]) -> Body:
    made = body(name, 1)
    return {**made, "spec": {**spec, "nodeName": node}, "status": {"phase": "Running"}}


def test_twins_hold_what_they_have_in_common_only_once(store: Store) -> None:
    for number in range(3):
        store.put(pod(f"pod-{number}", node=f"node-{number}", spec={"containers": [{"name": "worker", "env": []}]}))

    bodies = [store.get("voice", f"pod-{number}") for number in range(3)]

    assert [found["spec"]["nodeName"] for found in bodies if found] == ["node-0", "node-1", "node-2"]
    assert len({id(found["spec"]["containers"]) for found in bodies if found}) == 1
    assert len({id(found["metadata"]["labels"]) for found in bodies if found}) == 1


def test_pods_that_differ_share_nothing_that_differs(store: Store) -> None:
    store.put(pod("old", node="node", spec={"containers": [{"name": "worker", "image": "one"}]}))
    store.put(pod("new", node="node", spec={"containers": [{"name": "worker", "image": "two"}]}))

    found = store.get("voice", "new")

    assert found is not None
    assert found["spec"]["containers"] == [{"name": "worker", "image": "two"}]


def test_the_users_of_a_pool_are_found_without_looking_at_all_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache()
    for name, pool in (("a", "one"), ("b", "two"), ("c", "one")):
        cache.observe(VOICE_AGENTS, {**body(name, 1), "spec": {"providerPoolRef": {"name": pool}}})
    monkeypatch.delattr(Store, "__iter__")

    assert [user["metadata"]["name"] for user in cache.users_of("voice", "one")] == ["a", "c"]


def test_an_agent_that_changes_its_pool_is_a_user_of_the_new_one_only() -> None:
    cache = Cache()
    cache.observe(VOICE_AGENTS, {**body("a", 1), "spec": {"providerPoolRef": {"name": "one"}}})
    cache.observe(VOICE_AGENTS, {**body("a", 2), "spec": {"providerPoolRef": {"name": "two"}}})

    assert cache.users_of("voice", "one") == []
    assert len(cache.users_of("voice", "two")) == 1
    cache.observe(VOICE_AGENTS, body("a", 3), gone=True)
    assert cache.users_of("voice", "two") == []


def test_asking_about_an_agent_that_nobody_knows_leaves_no_trace(store: Store) -> None:
    for number in range(10):
        assert store.of_agent("voice", f"unknown-{number}") == []

    assert not store._by_agent
