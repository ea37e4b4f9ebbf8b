"""One agent's time in charge: what it sees, what it was given, and the SDK's agent that speaks for it."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import NOT_GIVEN, Agent, llm

from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.dialogue import AgentPlan
from voicefleet.conversation.structured import ask_for
from voicefleet.handoffs.sight import Held, Marks, Member, Sight, marks_of, put, remember, visible


class Store:
    """The variables of one call, with their marks."""

    def __init__(self, members: tuple[Member, ...], held: Mapping[str, Held]) -> None:
        self.members = members
        self.held = held
        self.stints: list[Stint] = []


@dataclass(slots=True, eq=False)
class Stint(MutableMapping[str, str]):
    """The variables as one agent sees and sets them, and whatever else is its own for this time."""

    plan: AgentPlan
    store: Store
    sight: Sight
    given: Mapping[str, Marks] = field(default_factory=dict)
    """By id, what may be read from what it was given of the conversation before."""
    instruct: Callable[[str], str] = str
    """Adds to its instructions what every agent of the call has to know."""
    agent: Agent | None = None
    _seen: tuple[Mapping[str, Held], dict[str, str]] | None = None

    @property
    def marks(self) -> Marks:
        """What may be read from its words."""
        return marks_of(self.sight, self.store.held)

    def __post_init__(self) -> None:
        self.store.stints.append(self)

    def __getitem__(self, name: str) -> str:
        return self._visible()[name]

    def __setitem__(self, name: str, value: str) -> None:
        # A tool may come late, and hide from the agent in charge what that one has seen and may say.
        for stint in self.store.stints:
            stint.sight = remember(stint.sight, self.store.held)
        self.store.held, self.sight = put(self.store.held, self.store.members, name, value, by=self.sight)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a call forgets no variable")

    def __iter__(self) -> Iterator[str]:
        return iter(self._visible())

    def __len__(self) -> int:
        return len(self._visible())

    def _visible(self) -> dict[str, str]:
        held = self.store.held
        if self._seen is None or self._seen[0] is not held:
            self._seen = (held, visible(self.sight, held))
        return self._seen[1]


class Speaker(Agent):
    """An agent of the SDK under its own name, which says when it has taken over."""

    def __init__(
        self,
        stint: Stint,
        tools: list[llm.Tool | llm.Toolset],
        own: Mapping[str, Any] | None,
        on_enter: Callable[[], None],
        *,
        chat_ctx: llm.ChatContext | None = None,
    ) -> None:
        super().__init__(
            id=stint.plan.name,
            instructions=_instructions(stint),
            chat_ctx=chat_ctx or NOT_GIVEN,
            tools=tools,
            **(own or {}),
        )
        self._has_entered = on_enter

    async def on_enter(self) -> None:
        """Take over."""
        self._has_entered()


def _instructions(stint: Stint) -> str:
    """Return what the agent is told, and how it is to answer if that is not in plain words."""
    told, structured = stint.instruct(fill(stint.plan.instructions, stint)), stint.plan.structured_output
    return told if structured is None else f"{told}\n\n{ask_for(structured)}"
