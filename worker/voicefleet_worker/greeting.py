"""How an agent begins: it says that it is a machine, and greets."""

from collections.abc import Mapping

from livekit.agents import AgentSession
from livekit.agents.voice import SpeechHandle

from voicefleet.call_variables import fill
from voicefleet.dialogue import DialoguePlan
from voicefleet.phrases import disclosure


def greet(session: AgentSession[None], plan: DialoguePlan, values: Mapping[str, str]) -> list[SpeechHandle]:
    """Begin to say what the agent says before anybody has said anything."""
    greeting = plan.greeting
    if greeting is None or greeting.wait_for_caller:
        # The machine says what it is even where it does not speak first otherwise.
        words, instructions, interruptible = "", None, True
    else:
        words, instructions, interruptible = greeting.text or "", greeting.instructions, greeting.interruptible
    spoken = " ".join(filter(None, [_disclosure(plan, values), fill(words, values)]))
    speeches = []
    if spoken:
        speeches.append(session.say(spoken, allow_interruptions=interruptible))
    if instructions:
        wanted = fill(instructions, values)
        speeches.append(session.generate_reply(instructions=wanted, allow_interruptions=interruptible))
    return speeches


def _disclosure(plan: DialoguePlan, values: Mapping[str, str]) -> str:
    identification = plan.conversation.identification
    if not identification.disclose_ai:
        return ""
    return fill(identification.text or "", values) or disclosure(plan.language)
