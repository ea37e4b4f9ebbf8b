"""Whoever waits until a call goes on sees it as it is, and not as it was for a moment."""

import asyncio

from voicefleet.records.ends import End
from voicefleet.records.life import Life, News, State
from voicefleet_worker.calls.course import Course


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_goodbye_waits_through_a_second_transfer_that_begins_as_the_first_one_fails() -> None:
    course = Course(begins=State.TALKING)
    course.move(News.HOLD)
    goodbye = asyncio.create_task(course.close(End.TOO_LONG))
    await settle()
    course.move(News.BACK)
    course.move(News.HOLD)
    await settle()
    assert course.life.state is State.HOLDING

    course.move(News.BACK)

    assert await goodbye
    assert course.life == Life(State.CLOSING, End.TOO_LONG)


async def test_of_two_who_would_say_goodbye_one_does() -> None:
    course = Course(begins=State.TALKING)
    course.move(News.HOLD)
    both = [asyncio.create_task(course.close(why)) for why in (End.TOO_LONG, End.WORKER_LEAVES)]
    await settle()
    course.move(News.BACK)

    assert await asyncio.gather(*both) == [True, False]
    assert course.life.why is End.TOO_LONG


async def test_nobody_says_goodbye_to_a_caller_who_has_been_put_through() -> None:
    course = Course(begins=State.TALKING)
    course.move(News.HOLD)
    goodbye = asyncio.create_task(course.close(End.TOO_LONG))
    await settle()
    course.move(News.END, End.TRANSFERRED)

    assert not await goodbye
    await course.settled()


def test_each_state_is_noted_once() -> None:
    noted: list[State] = []
    course = Course(noted.append, begins=State.TALKING)
    for news in (News.HOLD, News.HOLD, News.MEET, News.DIAL, News.MEET, News.END, News.END):
        course.move(news)

    assert noted == [State.HOLDING, State.DIALING, State.MEETING, State.ENDED]
