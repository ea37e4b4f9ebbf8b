"""While a phone rings nobody is heard: neither tones nor announcements are the caller's words."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from livekit import rtc

from tests.worker.files import AGENT, Mounted
from tests.worker.test_entry import Job, call_of
from voicefleet_worker.calls.call import Call
from voicefleet_worker.calls.presence import Presence
from voicefleet_worker.handoffs.team import Team
from voicefleet_worker.settings import load_settings


class Session:
    """A session that notes in which order it is told what."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.input = SimpleNamespace(set_audio_enabled=lambda on: self.told.append("listen" if on else "do not listen"))

    def on(self, *_: object) -> None:
        pass

    def reset_away_timer(self) -> None:
        pass

    def hear_at_once(self) -> None:
        self.told.append("at once")

    async def start(self, *_: object, **__: object) -> None:
        self.told.append("start")

    def greet(self, *_: object) -> list[Any]:
        self.told.append("greet")
        return []

    def begin(self, *_: object) -> None:
        """As its team, too."""

    async def hand_over_to(self, _: str) -> bool:
        return False

    language, values = "en", {}


class Phone:
    """A caller whose phone rings."""

    identity = "ada"

    def __init__(self, session: Session, *, is_answered: bool, kind: int) -> None:
        self.session = session
        self.is_answered = is_answered
        self.kind = kind

    async def arrival(self) -> Any:
        return SimpleNamespace(identity="ada", kind=self.kind)

    def watch(self, *_: object) -> None:
        self.session.told.append("ringing")

    async def answer(self, _: object) -> bool:
        return self.is_answered

    def end(self) -> None:
        pass


BROWSER, PHONE = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD, rtc.ParticipantKind.PARTICIPANT_KIND_SIP


async def begun(mounted: Mounted, *, is_answered: bool, kind: int = BROWSER, **turns: str) -> list[str]:
    conversation = {"turnTaking": turns}
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "conversation": conversation}})
    settings = await asyncio.to_thread(load_settings, mounted.flags, {})
    job, session = Job(settings), Session()
    job.room.local_participant = SimpleNamespace(register_rpc_method=lambda *_: None)  # type: ignore[attr-defined]
    call: Call = call_of(job, settings, session=session)
    call.presence = cast("Presence", Phone(session, is_answered=is_answered, kind=kind))
    call.team = cast("Team", session)
    await call.begin()
    return session.told


async def test_nobody_is_heard_before_the_phone_is_answered(mounted: Mounted) -> None:
    told = await begun(mounted, is_answered=True)

    assert told == ["do not listen", "start", "ringing", "listen", "greet"]


async def test_who_is_on_a_phone_is_heard_over_the_greeting(mounted: Mounted) -> None:
    told = await begun(mounted, is_answered=True, kind=PHONE)

    assert told == ["do not listen", "start", "ringing", "at once", "listen", "greet"]


async def test_a_phone_that_nobody_answers_is_never_heard(mounted: Mounted) -> None:
    told = await begun(mounted, is_answered=False)

    assert told == ["do not listen", "start", "ringing"]


async def test_who_has_a_key_to_talk_is_heard_when_it_is_held(mounted: Mounted) -> None:
    told = await begun(mounted, is_answered=True, detection="PushToTalk")

    assert "listen" not in told
    assert told[-1] == "greet"
