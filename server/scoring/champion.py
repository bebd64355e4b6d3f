"""A desk's folder becomes the line-up in force: exchanged in one step when the pointer moves, kept when the disk goes.

A thread looks at the pointer's file every 50 ms. A new model is read, verified and tried before it takes the place of
the one that serves; what fails leaves the old one where it is. A request holds the line-up that it began with, so none
is dropped by an exchange.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fedcredit.errors import FedCreditError, ModelError
from server.scoring.lineup import POINTER, Lineup, Pointed, Pointer, Served, load, read_pointer
from server.scoring.policy import Policy

POLL_SECONDS = 0.05
AGAIN_SECONDS = 1.0  # between two tries of what failed
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What serves, and what stands in the way of serving what the desk says."""

    lineup: Lineup | None
    fault: str = ""


class Champion:
    """Follows one desk; `lineup` is what a request scores with."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        *,
        pointer: Callable[[Path], Pointer] = read_pointer,
        fall_back: Callable[[str], None] | None = None,
    ) -> None:
        self._folder, self._policy, self._pointer, self._tell = folder, policy, pointer, fall_back
        self._state = State(None)
        self._stamp: tuple[int, int] | None = None
        self._tried = 0.0
        self._shunned = set[str]()  # digests that failed in this process
        self._look, self._lock, self._end = threading.Lock(), threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="champion", daemon=True)
        self.look()

    @property
    def lineup(self) -> Lineup | None:
        """The models in force."""
        return self._state.lineup

    @property
    def fault(self) -> str:
        """Why the desk's word is not what serves; empty where it is."""
        return self._state.fault

    def start(self) -> None:
        """Follow the pointer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Follow it no more."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> bool:
        """Take what the pointer says, if it is news; whether the line-up changed."""
        with self._look:
            stamp = _stamp(self._folder / POINTER)
            is_waiting = bool(self.fault) and time.monotonic() < self._tried + AGAIN_SECONDS
            if (stamp == self._stamp and not self.fault) or is_waiting:
                return False
            self._tried = time.monotonic()
            try:
                pointer = self._pointer(self._folder)
                found = self._loaded(pointer)
            except FedCreditError as fault:
                log.warning("the desk's champion is not served: %s", fault)
                self._state = State(self.lineup, f"{fault.where}: {fault.found}")
                self._stamp = stamp
                return False
            self._stamp = stamp
            with self._lock:
                changed = self._state.lineup != found
                self._state = State(found)
            if changed:
                log.warning("champion %s", found.champion.model_version)
            return changed

    def fall_back(self, failed: Served, reason: str) -> Served | None:
        """Put the champion before in the place of one that fails, at once; then tell the desk. None without another."""
        with self._lock:
            now = self.lineup
            if now is None or failed is not now.champion:
                return now.champion if now else None
            if now.previous is None or now.previous.sha256 in self._shunned:
                return None
            self._shunned.add(failed.sha256)
            self._state = State(replace(now, champion=now.previous, previous=None), f"fell back: {reason}")
        log.error("fell back from %s: %s", failed.model_version, reason)
        threading.Thread(target=self._told, args=(reason,), name="fall back", daemon=True).start()
        return now.previous

    def retire(self, challenger: Served, reason: str) -> None:
        """Let a challenger that fails answer no more."""
        with self._lock:
            now = self.lineup
            if now is not None and now.challenger is challenger:
                self._shunned.add(challenger.sha256)
                self._state = replace(self._state, lineup=replace(now, challenger=None))
                log.error("challenger %s retired: %s", challenger.model_version, reason)

    def _told(self, reason: str) -> None:
        try:
            if self._tell is not None:
                self._tell(reason)
        except FedCreditError as fault:
            log.error("the desk did not take the fall-back: %s", fault)  # noqa: TRY400 - no traceback in the log

    def _loaded(self, pointer: Pointer) -> Lineup:
        if pointer.champion.sha256 in self._shunned:
            raise ModelError(
                "champion", found="the model that failed here", expected="another", hint="roll back, or start again"
            )
        have = {one.sha256: one for one in (self.lineup.all() if self.lineup else [])}
        champion = self._one(pointer.champion, have)
        others = {name: getattr(pointer, name) for name in ("challenger", "shadow", "previous")}
        return Lineup(champion, **{name: self._other(one, have) for name, one in others.items()})

    def _one(self, pointed: Pointed, have: dict[str, Served]) -> Served:
        return have[pointed.sha256] if pointed.sha256 in have else load(self._folder, pointed, self._policy)

    def _other(self, pointed: Pointed | None, have: dict[str, Served]) -> Served | None:
        """A challenger, shadow or previous champion; one that cannot be had keeps no champion from its place."""
        if pointed is None or pointed.sha256 in self._shunned:
            return None
        try:
            return self._one(pointed, have)
        except FedCreditError as fault:
            log.warning("left out: %s", fault)
            return None

    def _follow(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            try:
                self.look()
            except Exception as fault:  # the thread must outlive what nobody thought of
                log.error("the pointer was not followed: %s", type(fault).__name__)  # noqa: TRY400


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
