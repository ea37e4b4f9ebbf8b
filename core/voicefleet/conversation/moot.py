"""Wishes that mean nothing beside other wishes of the same spec. Pure."""

from collections.abc import Collection

from pydantic.alias_generators import to_camel

from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.tools import Tool


def local_turns(talk: Conversation) -> tuple[tuple[str, bool], ...]:
    """Return the wishes about turns that mean nothing to a model that decides about them, and which were chosen."""
    turns, interruption = talk.turn_taking, talk.interruption
    names = {
        "turn_taking": (turns, ("detection", "min_delay_milliseconds", "max_delay_milliseconds")),
        "interruption": (interruption, ("min_duration_milliseconds", "min_words")),
    }
    return tuple(
        (f"{to_camel(group)}.{to_camel(name)}", getattr(chosen, name) != getattr(type(chosen)(), name))
        for group, (chosen, fields) in names.items()
        for name in fields
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
