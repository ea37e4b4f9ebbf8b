"""For how long somebody is waited for who hears."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from livekit.agents import UserStateChangedEvent

from voicefleet.providers.lineup import ProviderPlan
from voicefleet_worker.failover.switch import Tries

# Who speaks into the void for so long hangs up; so does the session then.
_GIVE_UP_SECONDS = 20.0
# A sound shorter than this need not have been a word.
_COUGH_SECONDS = 0.7
# A connection that lasted for so long was one.
_GOOD_SECONDS = 1.0
# So many that end sooner are followed by the next without a pause.
_AT_ONCE = 2


class CallerSpeaks:
    """When the caller has spoken, as who tells speech from silence has it."""

    def __init__(self) -> None:
        self._spoken: list[tuple[float, float]] = []
        self._since: float | None = None

    def follow(self, event: UserStateChangedEvent) -> None:
        """Note that the caller begins or ends to speak."""
        now = asyncio.get_running_loop().time()
        if event.new_state == "speaking":
            self._since = self._since or now
        elif self._since is not None:
            self._spoken.append((self._since, now))
            self._since = None

    @property
    def is_speaking(self) -> bool:
        """Whether the caller speaks at this moment."""
        return self._since is not None

    def seconds_unheard(self, last_word_at: float) -> float:
        """Return how long ago the caller began to say something of which there is not a word yet."""
        now = asyncio.get_running_loop().time()
        self._spoken = [each for each in self._spoken if each[1] > last_word_at]
        spoken = [*self._spoken, (self._since, now)] if self._since is not None else self._spoken
        unheard = [(max(begin, last_word_at), end) for begin, end in spoken]
        if sum(end - begin for begin, end in unheard) < _COUGH_SECONDS:
            return 0.0
        return now - unheard[0][0]


class Patience:
    """With whom the call has tried since somebody last heard it for a while, and for how long in vain."""

    def __init__(self) -> None:
        self._tries = Tries()
        self._in_vain_since: float | None = None
        self._short_lived = 0

    @property
    def tried(self) -> set[str]:
        """With whom there is no use in trying again."""
        return self._tries.tried

    def begin_anew(self, now: float) -> bool:
        """Try with everybody once more, unless that has gone on for too long."""
        self._in_vain_since = self._in_vain_since or now
        self._tries.begin_anew()
        return now - self._in_vain_since <= _GIVE_UP_SECONDS

    def note_silence(self, plan: ProviderPlan) -> None:
        """Note that one was connected and wrote nothing down."""
        self.tried.add(plan.name)
        self._in_vain_since = None

    def note_failure(self, plan: ProviderPlan, *, lasted_seconds: float) -> bool:
        """Note that one failed, and tell whether to wait: who dies at once is not dialed without end."""
        if lasted_seconds >= _GOOD_SECONDS:
            self._tries.begin_anew()
            self._in_vain_since, self._short_lived = None, 0
        else:
            self._short_lived += 1
        self._tries.note_failure(plan)
        return self._short_lived > _AT_ONCE


async def watched(work: Coroutine[Any, Any, None], watch: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, unless whoever watches it raises first."""
    tasks = [asyncio.create_task(watch), asyncio.create_task(work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
