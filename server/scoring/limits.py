"""How often a token asks becomes a yes, or the seconds that it has to wait: a bucket of requests that fills again."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from server.scoring.refusal import ScoringRefused

MOST_TOKENS = 10_000  # whoever was longest silent is forgotten, and starts with a full bucket


class Limits:
    """A bucket a token: `burst` requests at once, `per_second` of them later."""

    def __init__(
        self,
        *,
        per_second: float,
        burst: float,
        found: str = "too many requests of this token",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._burst, self._found, self._clock = per_second, burst, found, clock
        self._buckets = OrderedDict[str, tuple[float, float]]()

    def take(self, token: str, *, cost: float = 1.0) -> None:
        """Count a request of that token. Raises ScoringRefused, whose hint says when to come again.

        >>> limits = Limits(per_second=1, burst=1, clock=lambda: 0.0)
        >>> limits.take("a")
        >>> limits.take("a")
        Traceback (most recent call last):
        server.scoring.refusal.ScoringRefused: request: found too many requests of this token, expected 1 a second
        hint: send it again after 1 s
        """
        cost = min(cost, self._burst)
        left, now = self._left(token)
        is_granted = left >= cost
        self._buckets.pop(token, None)
        self._buckets[token] = (left - cost if is_granted else left, now)
        if len(self._buckets) > MOST_TOKENS:
            self._buckets.popitem(last=False)
        if not is_granted:
            raise self._refused(cost - left)

    def look(self, token: str) -> None:
        """Raises ScoringRefused where `take` would; counts nothing."""
        cost = min(1.0, self._burst)
        left, _ = self._left(token)
        if left < cost:
            raise self._refused(cost - left)

    def _left(self, token: str) -> tuple[float, float]:
        now = self._clock()
        left, since = self._buckets.get(token, (self._burst, now))
        return min(self._burst, left + (now - since) * self._rate), now

    def _refused(self, lacking: float) -> ScoringRefused:
        wait = max(1, math.ceil(lacking / self._rate))
        expected, hint = f"{self._rate:g} a second", f"send it again after {wait} s"
        return ScoringRefused("request", code="rate", found=self._found, expected=expected, hint=hint)
