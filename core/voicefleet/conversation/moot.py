"""Wishes that mean nothing beside other wishes of the same spec. Pure."""

from collections.abc import Collection

from pydantic.alias_generators import to_camel

from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.tools import Tool

_OF_WORDS = {"turn_taking": ("max_turn_seconds",), "interruption": ("min_words",)}
"""What is decided by the words of who hears: a model that hears by itself hands on none in time."""
_OF_TURNS = {
    "turn_taking": ("detection", "min_delay_milliseconds", "max_delay_milliseconds"),
    "interruption": ("min_duration_milliseconds", "false_interruption_timeout_milliseconds"),
}
"""What means nothing to a model that also decides about turns."""


def unheard_turns(talk: Conversation, *, decides: bool) -> tuple[str, ...]:
    """Name the wishes about turns that were chosen and that a realtime model does not know."""
    chosen = {"turn_taking": talk.turn_taking, "interruption": talk.interruption}
    groups = (_OF_TURNS, _OF_WORDS) if decides else (_OF_WORDS,)
    return tuple(
        f"{to_camel(group)}.{to_camel(name)}"
        for fields in groups
        for group, names in fields.items()
        for name in names
        if getattr(chosen[group], name) != getattr(type(chosen[group])(), name)
    )


def crowded_out(spec: VoiceAgentSpec, used: Collection[Tool]) -> tuple[str, ...]:
    """Name what other fields leave no room for, and paths in answers that lead to more than one value."""
    talk, keys = spec.conversation, spec.telephony.dtmf
    ends_turns = talk.push_to_talk.commit_digit if talk.push_to_talk is not None else ""
    prompts = range(talk.away.max_prompts, len(talk.away.prompts))
    wishes = (
        ("spec.telephony.dtmf.humanDigit", ends_turns == keys.human_digit),
        *((f"spec.telephony.dtmf.actions[{action.digits}]", ends_turns in action.digits) for action in keys.actions),
    )
    many = (
        f"spec.tools[{tool.name}].http.response[{one.variable}].path"
        for tool in used
        if tool.http is not None
        for one in tool.http.response
        if "*" in one.path
    )
    return (
        *(field for field, wish in wishes if ends_turns and keys.enabled and wish),
        *(f"spec.conversation.away.prompts[{index}]" for index in prompts),
        *many,
    )
