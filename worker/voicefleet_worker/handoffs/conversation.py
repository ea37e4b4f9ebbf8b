"""Between the SDK's chat items and what is decided about them."""

from collections.abc import Iterable, Mapping

from livekit.agents import llm

from voicefleet.handoffs.passing import Said
from voicefleet.handoffs.sight import NO_MARKS, Marks


def read_conversation(items: Iterable[llm.ChatItem], own: Marks, given: Mapping[str, Marks]) -> list[Said]:
    """Return what an agent has heard, said and done; what it was given keeps the marks that it came with.

    Instructions are left out, but not what an earlier agent has left for it.
    """
    said: list[Said] = []
    for item in items:
        match item:
            case llm.ChatMessage(role="user"):
                said.append(Said(item.id, "Caller", item.text_content or "", given.get(item.id, NO_MARKS)))
            case llm.ChatMessage(role="assistant"):
                said.append(Said(item.id, "Agent", item.text_content or "", given.get(item.id, own)))
            case llm.ChatMessage() if item.id in given:
                said.append(Said(item.id, "Note", item.text_content or "", given[item.id]))
            case llm.FunctionCall(name=name, arguments=text, call_id=call):
                said.append(Said(item.id, "Tool", text, given.get(item.id, own), name, call))
            case llm.FunctionCallOutput(name=name, output=text, call_id=call):
                said.append(Said(item.id, "Tool", text, given.get(item.id, own), name, call))
            case _:
                pass
    return said


def take_items(items: Iterable[llm.ChatItem], said: Iterable[Said]) -> llm.ChatContext:
    """Return those items that were decided to be given on."""
    kept = {each.id for each in said}
    return llm.ChatContext([item for item in items if item.id in kept])


def as_transcript(said: Iterable[Said]) -> str:
    """Return a conversation as a text for a model to sum up."""
    return "\n".join(f"{item.speaker}: {item.text}" for item in said)
