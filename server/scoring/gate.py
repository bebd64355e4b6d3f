"""The last answers of a model become a verdict on its health: errors, scores that are no numbers, slowness."""

from __future__ import annotations

import threading
from collections import deque

from server.scoring.policy import Policy

LAST, LEAST = 500, 50  # answers that are looked at; fewer say nothing
MOST_NOT_FINITE = 3
SLOW_SHARE = 0.05


class HealthGate:
    """Counts of one model's last answers."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._lock = policy, threading.Lock()
        self._last = deque[tuple[bool, bool, bool]](maxlen=LAST)
        self._failed = self._slow = self._not_finite = 0

    def saw(self, *, seconds: float, is_failed: bool = False, is_finite: bool = True) -> None:
        """Count one answer."""
        is_failed, is_slow = is_failed or not is_finite, seconds * 1000 > self._policy.latency_ms
        with self._lock:  # single scores and batches are answered by different threads
            if len(self._last) == LAST:
                failed, slow, not_finite = self._last[0]
                self._failed -= failed
                self._slow -= slow
                self._not_finite -= not_finite
            self._last.append((is_failed, is_slow, not is_finite))
            self._failed += is_failed
            self._slow += is_slow
            self._not_finite += not is_finite

    @property
    def verdict(self) -> str:
        """Why the model is not healthy; empty where it is.

        >>> gate = HealthGate(Policy())
        >>> for _ in range(3):
        ...     gate.saw(seconds=0.001, is_finite=False)
        >>> gate.verdict
        '3 scores that are no numbers'
        """
        count = len(self._last)
        if self._not_finite >= MOST_NOT_FINITE:
            return f"{self._not_finite} scores that are no numbers"
        if count >= LEAST and self._failed > self._policy.error_share * count:
            return f"{self._failed} of {count} answers failed"
        if count >= LEAST and self._slow > SLOW_SHARE * count:
            return f"{self._slow} of {count} answers took over {self._policy.latency_ms:g} ms of computing"
        return ""
