"""Double braces that nothing fills are named, wherever an agent would say them."""

from typing import Any

import pytest

from tests.core.test_dialogue import THREE, agent, planned, pool
from tests.support.manifests import sample
from voicefleet.api import VoiceAgent

DECLARED = {"declared": [{"name": "name", "default": "you"}]}
FEEDBACK = {"type": "CollectFeedback", "feedback": {"question": "How was it, {{nam}}?"}}
LOOK_UP = {"name": "look", "description": "Looks it up."}


def desk(**more: Any) -> dict[str, Any]:
    return {"agents": [{"name": "desk", "instructions": "Be kind.", **more}]}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (desk(instructions="Help {{nam}}."), "spec.agents[0].instructions"),
        (desk(greeting={"text": "Hello {{nam}}."}), "spec.agents[0].greeting.text"),
        (desk(greeting={"instructions": "Greet {{ nam }}."}), "spec.agents[0].greeting.instructions"),
        ({"conversation": {"identification": {"text": "{{nam}}"}}}, "spec.conversation.identification.text"),
        ({"conversation": {"away": {"prompts": ["Hm?", "{{nam}}?"]}}}, "spec.conversation.away.prompts[1]"),
        ({"conversation": {"duration": {"goodbye": "Bye {{nam}}."}}}, "spec.conversation.duration.goodbye"),
        (
            {**desk(tools=["rate"]), "tools": [{"name": "rate", "description": "Rates.", "builtin": FEEDBACK}]},
            "spec.tools[rate].builtin.feedback.question",
        ),
        (
            {
                **desk(tools=["look"]),
                "tools": [{**LOOK_UP, "http": {"url": "https://a.example.com"}, "filler": {"phrases": ["{{nam}}"]}}],
            },
            "spec.tools[look].filler.phrases[0]",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_misspelt_variable_is_named_with_its_field(spec: dict[str, Any], field: str) -> None:
    plan = planned(agent(**spec, variables=DECLARED), pool(*THREE))

    assert plan.not_yet == (f"{{{{nam}}}} in {field}, which nobody declared",)


def test_what_is_declared_or_set_by_a_tool_is_no_mistake() -> None:
    http = {"url": "https://a.example.com/{{id}}", "response": [{"variable": "order", "path": "$.order"}]}
    parameters = {"type": "object", "properties": {"id": {"type": "string"}}}
    tool = {**LOOK_UP, "http": http, "parameters": parameters}
    spec = desk(instructions="{{name}} has {{order}}.", tools=["look"])

    assert planned(agent(**spec, tools=[tool], variables=DECLARED), pool(*THREE)).not_yet == ()


def test_a_tool_that_no_agent_uses_says_nothing() -> None:
    tool = {**LOOK_UP, "http": {"url": "https://a.example.com"}, "filler": {"phrases": ["{{nam}}"]}}

    assert planned(agent(tools=[tool]), pool(*THREE)).not_yet == ()


@pytest.mark.parametrize("name", ["voiceagent", "voiceagent-team", "voiceagent-tools"])
def test_samples_spell_their_variables_right(name: str) -> None:
    plan = planned(VoiceAgent.model_validate(sample(name)), pool(*THREE))

    assert [gap for gap in plan.not_yet if "nobody declared" in gap] == []
