"""A key gives the first answer again, for a while and up to a number; requests of one moment share one answer."""

from __future__ import annotations

import asyncio

import pytest

from server.scoring.refusal import ScoringRefused
from server.scoring.repeats import Answer, Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Counts how often it is done."""

    def __init__(self, status: int = 200, body: bytes = b"x") -> None:
        self.times, self._answer = 0, Answer(status, body)

    async def __call__(self) -> Answer:
        self.times += 1
        await asyncio.sleep(0)
        return self._answer


def test_requests_of_one_moment_are_answered_by_one_work() -> None:
    async def ask() -> list[Answer]:
        return await asyncio.gather(*(repeats.once(("a",), "k", b"body", work) for _ in range(5)))

    repeats, work = Repeats(), Work()
    answers = asyncio.run(ask())
    assert work.times == 1
    assert sorted(one.is_repeat for one in answers) == [False, True, True, True, True]


def test_an_old_answer_and_one_too_many_are_forgotten() -> None:
    async def ask(key: str) -> bool:
        return (await repeats.once(("a",), key, b"body", work)).is_repeat

    async def all_of_it() -> None:
        assert not await ask("1")
        clock.now = 9.0
        assert await ask("1")
        clock.now = 11.0
        assert not await ask("1")
        for key in ("2", "3", "4"):
            assert not await ask(key)
        assert not await ask("1")

    clock, work = Clock(), Work()
    repeats = Repeats(most=3, seconds=10, clock=clock)
    asyncio.run(all_of_it())


def test_large_answers_are_kept_up_to_a_size() -> None:
    async def all_of_it() -> None:
        for key in "abc":
            await repeats.once((), key, b"", work)
        assert not (await repeats.once((), "a", b"", work)).is_repeat

    repeats, work = Repeats(most_bytes=2000), Work(body=b"x" * 1000)
    asyncio.run(all_of_it())


def test_a_fault_of_the_server_may_be_tried_again() -> None:
    async def all_of_it() -> None:
        assert (await repeats.once((), "k", b"", broken)).status == 503
        assert not (await repeats.once((), "k", b"other", good)).is_repeat

    repeats, broken, good = Repeats(), Work(503), Work()
    asyncio.run(all_of_it())


def test_a_first_request_that_breaks_off_leaves_nobody_waiting() -> None:
    async def never() -> Answer:
        await asyncio.sleep(60)
        raise AssertionError

    async def all_of_it() -> None:
        first = asyncio.create_task(repeats.once((), "k", b"", never))
        await asyncio.sleep(0)
        second = asyncio.create_task(repeats.once((), "k", b"", never))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(ScoringRefused, match="broke off"):
            await second
        assert not (await repeats.once((), "k", b"", good)).is_repeat

    repeats, good = Repeats(), Work()
    asyncio.run(all_of_it())
