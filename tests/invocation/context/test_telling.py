"""What a call says while it works is told to whoever watches: bounded, cut, and never at the work's cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from assent.invocation import LocalContext
from assent.invocation.context.telling import (
    LINE_CHARACTERS_MAX,
    LINES_MAX,
    LINES_PER_S_MAX,
    Listener,
    News,
    Said,
    Watched,
    telling,
)
from assent.spec.ids import RunId, StepKey
from tests.support.calls import bed

SECOND_US = 1_000_000


def hearing(hear: Callable[[str | None], object]) -> Listener:
    """A listener that is told of lines."""

    def listen(run: RunId, n: int | None, at_ms: int, event: News) -> None:
        assert n is None
        assert isinstance(event, Said)
        hear(event.line)

    return listen


class Line:
    """A call that is watched, with a clock that stands still, and what the watcher was told."""

    def __init__(self) -> None:
        self.now_us = 0
        self.told: list[str | None] = []
        self.watched = Watched(hearing(self.told.append), self)

    def now_ms(self) -> int:
        return self.now_us // 1000

    def monotonic_ms(self) -> int:
        return self.now_us // 1000

    def monotonic_us(self) -> int:
        return self.now_us

    def say(self, lines: str) -> None:
        if self.watched.has_room(RunId("r"), StepKey("s")):
            self.watched.tell(RunId("r"), StepKey("s"), lines)


async def test_a_second_has_so_many_lines_and_what_is_left_out_is_told_once() -> None:
    line = Line()
    for number in range(3 * LINES_PER_S_MAX):
        line.say(str(number))
    assert line.told == [*map(str, range(LINES_PER_S_MAX)), None]
    line.now_us += SECOND_US
    line.say("later")
    assert line.told[-2:] == [None, "later"]


async def test_many_lines_at_once_are_no_way_around_that() -> None:
    line = Line()
    line.say("\n".join("y" * LINES_PER_S_MAX))
    assert line.told == ["y"] * LINES_PER_S_MAX
    line.say("z\nz")
    assert line.told[LINES_PER_S_MAX:] == [None]
    line.now_us += SECOND_US
    line.say("\n".join("y" * (LINES_PER_S_MAX + 1)))
    assert line.told[LINES_PER_S_MAX + 1 :] == ["y"] * LINES_PER_S_MAX + [None]


async def test_a_call_has_so_many_lines_in_all() -> None:
    line = Line()
    for _ in range(LINES_MAX + 10):
        line.now_us += SECOND_US
        line.say("y")
    assert line.told == ["y"] * LINES_MAX + [None]


async def test_a_long_line_is_cut_and_an_empty_one_is_none() -> None:
    line = Line()
    line.say("a  \n\n \r\n" + "b" * LINE_CHARACTERS_MAX + "\n" + "c" * (LINE_CHARACTERS_MAX + 1))
    assert line.told == ["a", "b" * LINE_CHARACTERS_MAX, "c" * (LINE_CHARACTERS_MAX - 1) + "…"]


async def test_a_watcher_is_told_in_the_thread_of_the_loop_whoever_says_it() -> None:
    told: list[tuple[str | None, bool]] = []
    here = threading.get_ident()

    def work(context: LocalContext, parameters: object) -> dict[str, object]:
        context.progress(1, None, "from a thread")
        return {}

    async def within(context: LocalContext, parameters: object) -> dict[str, object]:
        context.progress(1, None, "from the loop")
        context.progress(2)
        return {}

    with bed() as made, telling(hearing(lambda line: told.append((line, threading.get_ident() == here)))):
        await made.call(made.bound(work))
        await made.call(made.bound(within))
    assert told == [("from a thread", True), ("from the loop", True)]


async def test_a_call_that_is_received_where_nobody_watches_tells_nobody() -> None:
    told: list[str | None] = []
    with bed() as made:
        unwatched = made.receive()
        with telling(hearing(told.append)):
            watched = made.receive()
            unwatched.context.progress(1, None, "unheard")
        watched.context.progress(1, None, "heard")
    assert told == ["heard"]


async def test_a_watcher_that_fails_is_told_no_more_and_the_work_goes_on() -> None:
    asked: list[str | None] = []

    def broken(line: str | None) -> None:
        asked.append(line)
        raise OSError("nobody is there")

    async def work(context: LocalContext, parameters: object) -> dict[str, object]:
        context.progress(1, None, "one\ntwo")
        context.progress(2, None, "three")
        return {"done": True}

    with bed() as made, telling(hearing(broken)):
        _, output = await made.call(made.bound(work))
    assert (output, asked) == ({"done": True}, ["one"])


def test_a_thread_that_outlives_the_loop_tells_nobody_and_comes_to_no_harm() -> None:
    told: list[str | None] = []

    async def begin() -> Callable[[], None]:
        watched = Watched(hearing(told.append), Line())

        def say() -> None:
            for _ in range(2):
                if watched.has_room(RunId("r"), StepKey("s")):
                    watched.tell(RunId("r"), StepKey("s"), "late")

        return say

    say = asyncio.run(begin())
    thread = threading.Thread(target=say)
    thread.start()
    thread.join()
    assert told == []
