"""What a caller means who presses keys: an action of the spec, a person, or something for the agent to read.

Pure: keys come with the moments at which they were pressed. A sequence means something as a whole only: the 0 in an
order number asks for nobody.
"""

from dataclasses import dataclass, field

from voicefleet.api.voiceagent.telephony import Dtmf, DtmfAction

MOST_KEYS = 64
"""What is longer was not pressed by a person; it is told as it is."""
_PAUSE = "w"


@dataclass(frozen=True, slots=True)
class Digits:
    """Keys without a meaning of their own: the agent reads them."""

    keys: str


@dataclass(frozen=True, slots=True)
class WantsPerson:
    """The key that asks for a person."""

    keys: str


@dataclass(frozen=True, slots=True)
class WantsAction:
    """Keys that the spec gives an action."""

    keys: str
    action: DtmfAction


Meaning = Digits | WantsPerson | WantsAction


@dataclass(frozen=True, slots=True)
class Menu:
    """What keys mean in one call."""

    meanings: dict[str, Meaning] = field(default_factory=dict)
    pause_seconds: float = 2.0
    """Pause after which pressed keys count as complete."""

    def goes_on(self, keys: str) -> bool:
        """Tell whether more keys could make something else of these."""
        return keys not in self.meanings or any(
            other.startswith(keys) and len(other) > len(keys) for other in self.meanings
        )

    def read(self, keys: str) -> Meaning:
        """Return what these keys mean, now that no more will come."""
        return self.meanings.get(keys, Digits(keys))


@dataclass(frozen=True, slots=True)
class Pressed:
    """Keys that were pressed and are not complete."""

    keys: str = ""
    complete_at_seconds: float = 0.0
    """When they will be, unless another one comes."""


NOTHING = Pressed()


def menu_of(dtmf: Dtmf) -> Menu:
    """Return what keys mean by a spec."""
    meanings: dict[str, Meaning] = {dtmf.human_digit: WantsPerson(dtmf.human_digit)} if dtmf.human_digit else {}
    for action in dtmf.actions:
        keys = action.digits.replace(_PAUSE, "")
        if keys:
            meanings[keys] = WantsAction(keys, action)
    return Menu(meanings, dtmf.inter_digit_timeout_milliseconds / 1000)


def press(menu: Menu, pressed: Pressed, key: str, now_seconds: float) -> tuple[Pressed, tuple[Meaning, ...]]:
    """Add one key, and return what is still incomplete and what is complete by it."""
    pressed, before = settle(menu, pressed, now_seconds)
    keys = pressed.keys + key
    if menu.goes_on(keys) and len(keys) < MOST_KEYS:
        return Pressed(keys, now_seconds + menu.pause_seconds), before
    return NOTHING, (*before, menu.read(keys))


def settle(menu: Menu, pressed: Pressed, now_seconds: float) -> tuple[Pressed, tuple[Meaning, ...]]:
    """Return the same at a later moment: after a pause, what was pressed is complete."""
    if not pressed.keys or now_seconds < pressed.complete_at_seconds:
        return pressed, ()
    return NOTHING, (menu.read(pressed.keys),)


def in_words(meaning: Meaning) -> str:
    """Return what an agent reads of keys, one by one: together they might be taken for a quantity."""
    said = f"The caller pressed {' '.join(meaning.keys)}"
    return f"{said} and wants to speak to a person." if isinstance(meaning, WantsPerson) else f"{said}."
