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

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
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
        now = self._clock()
        left, since = self._buckets.pop(token, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        cost = min(cost, self._burst)
        is_granted = left >= cost
        self._buckets[token] = (left - cost if is_granted else left, now)
        if len(self._buckets) > MOST_TOKENS:
            self._buckets.popitem(last=False)
        if not is_granted:
            wait = max(1, math.ceil((cost - left) / self._rate))
            expected, hint = f"{self._rate:g} a second", f"send it again after {wait} s"
            raise ScoringRefused(
                "request", code="rate", found="too many requests of this token", expected=expected, hint=hint
            )
