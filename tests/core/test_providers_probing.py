"""Which addresses are probed, how often, and what an answer means."""

import pytest

from tests.support.providers import pool, provider
from voicefleet.api.providerpool.providers import PLUGINS_BY_ROLE
from voicefleet.providers.addresses import probe_address
from voicefleet.providers.probing import Probed, ProbeRule, merge_rules, probe_rules, problem_of_answer


@pytest.mark.parametrize(
    ("role", "plugin"), [(role, plugin) for role, plugins in PLUGINS_BY_ROLE.items() for plugin in plugins]
)
def test_every_plugin_has_an_address(role: str, plugin: str) -> None:
    address = probe_address(provider(role=role, plugin=plugin))

    assert address is not None
    assert address.startswith("https://")


def test_an_address_of_the_pool_goes_before_the_providers_own_and_is_asked_over_http() -> None:
    assert probe_address(provider(baseUrl="wss://proxy.example.com/v1/listen")) == "https://proxy.example.com/v1/listen"
    assert probe_address(provider(baseUrl="ws://10.0.0.1:8000")) == "http://10.0.0.1:8000"
    assert probe_address(provider(baseUrl="http://proxy/v1")) == "http://proxy/v1"


def test_who_is_not_used_or_not_to_be_probed_is_not() -> None:
    providers = [each.model_dump(by_alias=True, exclude_none=True) for each in pool().spec.providers]
    providers[0]["enabled"] = False
    providers[1]["probe"] = {"enabled": False}

    assert [rule.address for rule in probe_rules(pool(providers=providers))] == ["https://api.cartesia.ai"]


def test_what_shares_an_address_shares_its_probes() -> None:
    rules = [ProbeRule("b", 60, 5), ProbeRule("a", 30, 1), ProbeRule("b", 10, 2)]

    assert merge_rules(rules) == (ProbeRule("a", 30, 1), ProbeRule("b", 10, 5))


@pytest.mark.parametrize(
    ("status", "is_fine"),
    [(200, True), (301, True), (401, True), (404, True), (429, True), (499, True), (500, False), (503, False)],
)
def test_any_answer_but_a_broken_one_shows_that_somebody_is_there(status: int, *, is_fine: bool) -> None:
    assert (problem_of_answer(status) is None) == is_fine


def test_one_probe_that_fails_amid_others_is_no_news_but_a_first_one_is() -> None:
    fresh, known = Probed(), Probed().after(None)

    assert fresh.after("lost").why_unreachable == "lost"
    assert known.after("lost").why_unreachable is None
    assert known.after("lost").after("lost again").why_unreachable == "lost again"
    assert known.after("lost").after("lost").after(None).why_unreachable is None
    assert known.after("lost").after(None).after("lost").why_unreachable is None
