"""A request that is sent again with its key becomes the first one's answer; another request under that key is refused.

Kept in memory, bounded in number and bytes, for a day: a score changes nothing, so a restart costs only that the same
request may be answered by a newer model.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.scoring.refusal import ScoringRefused

MOST_KEPT, MOST_BYTES, SECONDS = 10_000, 64 << 20, 86_400.0
KEY = re.compile(r"[\x21-\x7e]{1,255}")
SERVER_FAULT = 500
ROUGH_BYTES = 512  # of an entry beside its body


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes
    is_repeat: bool = False


@dataclass
class _Kept:
    digest: bytes
    answer: asyncio.Future[Answer]
    since: float
    size: int = ROUGH_BYTES


class Repeats:
    """Answers by token, address and key."""

    def __init__(
        self,
        *,
        most: int = MOST_KEPT,
        most_bytes: int = MOST_BYTES,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._most_bytes, self._seconds, self._clock = most, most_bytes, seconds, clock
        self._kept = OrderedDict[tuple[str, ...], _Kept]()
        self._bytes = 0

    async def once(
        self, scope: tuple[str, ...], key: str | None, body: bytes, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer of `work`, done once for a key; while it is under way, the others wait for it.

        A fault of the server is not kept: the same key may try again.

        Raises:
            ScoringRefused: the key is none, or was used with another body.
        """
        if key is None:
            return await work()
        if not KEY.fullmatch(key):
            raise ScoringRefused(
                "Idempotency-Key", code="request", found="another form", expected="1 to 255 visible ASCII characters"
            )
        self._forget()
        place, digest = (*scope, key), hashlib.sha256(body).digest()
        if kept := self._kept.get(place):
            if kept.digest != digest:
                hint = "take a new key for a new request"
                raise ScoringRefused(
                    "Idempotency-Key",
                    code="repeat",
                    found="a key used before",
                    expected="the same body again",
                    hint=hint,
                )
            first = await asyncio.shield(kept.answer)
            return Answer(first.status, first.body, is_repeat=True)
        return await self._first(place, _Kept(digest, asyncio.get_running_loop().create_future(), self._clock()), work)

    async def _first(self, place: tuple[str, ...], kept: _Kept, work: Callable[[], Awaitable[Answer]]) -> Answer:
        self._kept[place] = kept
        self._bytes += kept.size
        try:
            answer = await work()
        except BaseException as fault:
            self._drop(place)
            kept.answer.set_exception(_copy(fault))
            kept.answer.exception()  # nobody may have waited
            raise
        kept.answer.set_result(answer)
        if answer.status >= SERVER_FAULT:
            self._drop(place)
        else:
            kept.size += len(answer.body)
            self._bytes += len(answer.body)
        return answer

    def _drop(self, place: tuple[str, ...]) -> None:
        if gone := self._kept.pop(place, None):
            self._bytes -= gone.size

    def _forget(self) -> None:
        """What is too old, or too much; an answer that is still under way is left."""
        while self._kept:
            place, oldest = next(iter(self._kept.items()))
            is_over = len(self._kept) >= self._most or self._bytes > self._most_bytes
            is_old = self._clock() - oldest.since > self._seconds
            if not oldest.answer.done() or not (is_over or is_old):
                return
            self._drop(place)


def _copy(fault: BaseException) -> BaseException:
    """For who waits: cancelling one request cancels no other."""
    if isinstance(fault, Exception):
        return fault
    return ScoringRefused("request", code="busy", found="a first request that broke off", expected="the same again")
