"""What every call begins with, before the agent's own greeting."""

from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.conversation.phrases import disclosure
from voicefleet_worker.calls.manners import InCharge


def opening_words(plan: DialoguePlan, in_charge: InCharge) -> str:
    """Return the words by which the machine says what it is, if it is to say so."""
    identification = plan.conversation.identification
    if not identification.disclose_ai:
        return ""
    return fill(identification.text or "", in_charge.values) or disclosure(in_charge.language)
