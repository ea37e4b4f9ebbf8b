"""Nothing that is private to one agent reaches another, whatever is said, set and handed over.

The agents here tell all they know with every word, in a spelling that nobody would recognise. So only the marks can
keep it from others, and the test keeps its own books of what each text really gives away.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from voicefleet.handoffs.passing import Context, Said, pass_on
from voicefleet.handoffs.sight import Marks, Member, Sight, betrays, marks_of, put, remember, sight_of, take_in, visible

AGENTS = ("reception", "billing", "claims", "sales")
NAMES = ("v0", "v1", "v2", "v3", "v4")
TOOLS = ("t0", "t1")
SUBSETS = st.frozensets(st.sampled_from(NAMES))


class Call(RuleBasedStateMachine):
    """A call that wanders between agents."""

    @initialize(
        private=st.lists(SUBSETS, min_size=len(AGENTS), max_size=len(AGENTS)),
        tools=st.lists(st.frozensets(st.sampled_from(TOOLS)), min_size=len(AGENTS), max_size=len(AGENTS)),
        empty=SUBSETS,
    )
    def begin(self, private: list[Marks], tools: list[frozenset[str]], empty: Marks) -> None:
        self.team = tuple(Member(*of) for of in zip(AGENTS, private, tools, strict=True))
        self.is_private = frozenset().union(*private)
        self.variables = take_in(self.team, {name: "" if name in empty else f"secret-{name}-0" for name in NAMES})
        self.sight = sight_of(self.team, AGENTS[0])
        self.conversation: list[Said] = []
        self.number = 0
        # The books: what each variable and each text really gives away, and what the agent in charge knows.
        self.in_variable = {name: self._own(name, held.value) for name, held in self.variables.items()}
        self.in_text: dict[str, Marks] = {}
        self.given: Marks = frozenset()
        self.has_set: Marks = frozenset()

    def _own(self, name: str, value: str) -> Marks:
        return frozenset({name}) & self.is_private if value else frozenset()

    def _known(self) -> Marks:
        seen = (self.in_variable[name] for name in visible(self.sight, self.variables))
        return self.given.union(self.has_set, *seen)

    def _say(self, speaker: str, text: str, gives_away: Marks, **tool: str) -> None:
        self.number += 1
        marks = frozenset() if speaker == "Caller" else marks_of(self.sight, self.variables)
        said = Said(str(self.number), speaker, text, marks, **tool)  # type: ignore[arg-type]
        self.conversation.append(said)
        self.in_text[said.id] = gives_away

    @rule(name=st.sampled_from(NAMES))
    def the_caller_says_a_value(self, name: str) -> None:
        self._say("Caller", f"It is {self.variables[name].value.upper()}, is it not?", frozenset())

    @rule()
    def the_agent_tells_all_it_knows(self) -> None:
        self._say("Agent", "x", self._known())

    @rule(tool=st.sampled_from(TOOLS))
    def the_agent_uses_a_tool(self, tool: str) -> None:
        call = f"c{self.number}"
        self._say("Tool", "y", self._known(), tool=tool, call_id=call)
        self._say("Tool", "z", self._known(), tool=tool, call_id=call)

    @rule(name=st.sampled_from(NAMES), value=st.sampled_from(["", "new", "other"]))
    def a_tool_sets_a_variable(self, name: str, value: str) -> None:
        value = value and f"secret-{name}-{value}"
        known = self._known()
        self.variables, self.sight = put(self.variables, self.team, name, value, by=self.sight)
        self.in_variable[name] = known | self._own(name, value)
        self.has_set |= self._own(name, value)

    @rule(name=st.sampled_from(NAMES))
    def a_tool_of_the_agent_before_comes_late(self, name: str) -> None:
        """It sets a variable which the agent in charge has seen as it was."""
        if self.before is None:
            return
        sight, known = self.before
        self.given |= self._known()
        self.sight = remember(self.sight, self.variables)
        self.variables, _ = put(self.variables, self.team, name, f"secret-{name}-late", by=sight)
        self.in_variable[name] = known | self._own(name, "late")

    @rule(to=st.sampled_from(AGENTS), context=st.sampled_from(["None", "Summary", "Full"]), named=SUBSETS)
    def hand_over(self, to: str, context: Context, named: Marks) -> None:
        known = self._known()
        member = next(member for member in self.team if member.name == to)
        sight = sight_of(self.team, to, named=named)
        passed = pass_on(self.conversation, context, member, sight, self.variables)
        self._judge(member, sight, passed.said)
        self.given = frozenset().union(*(self.in_text[item.id] for item in passed.said))
        self.before = (self.sight, known)
        self.has_set = self.released = frozenset()
        self.sight = sight_of(self.team, to, named=named, heard=passed.marks)
        self.conversation = list(passed.said)

    def _judge(self, member: Member, sight: Sight, said: tuple[Said, ...]) -> None:
        hidden = [self.variables[name].value for name in sight.hidden]
        for item in said:
            assert not self.in_text[item.id] & sight.hidden, "somebody's words give something away"
            assert not betrays(item.text, hidden), "a value stands in the text"
            assert not item.tool or item.tool in member.tools

    released: Marks = frozenset()
    before: tuple[Sight, Marks] | None = None

    @invariant()
    def nobody_knows_what_is_hidden_from_it(self) -> None:
        if hasattr(self, "sight"):
            # To name a variable is to give it away, whatever can be read from it, then and later.
            self.released |= frozenset().union(*(self.in_variable[name] for name in self.sight.named))
            may_know = self.released | self.has_set
            assert self._known() & self.sight.hidden <= may_know
            assert self._known() <= marks_of(self.sight, self.variables), "the marks know less than the books"


TestCall = Call.TestCase
TestCall.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
