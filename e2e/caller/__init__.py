"""A stand-in caller: joins a room, speaks, listens, and tells what it heard and how long it waited.

    async with Caller(Line(url, key, secret), seat=Seat.made_up("default.receptionist")) as caller:
        await caller.listen()
        turn = await caller.say("When are you open?")
    print(caller.report().as_text())

Callers share one event loop; twenty fit on two cores.
"""

from e2e.caller.caller import Caller, PatientCaller
from e2e.caller.line import Dispatch, Line, Seat
from e2e.caller.report import CallReport, Cut, Turn

__all__ = ["CallReport", "Caller", "Cut", "Dispatch", "Line", "PatientCaller", "Seat", "Turn"]
