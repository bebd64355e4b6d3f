"""A desk becomes the line-up in force: exchanged in one step when the desk says so, kept when its disk goes.

A thread looks at the desk's pointer and history every 50 ms; what counts is the history, which is signed. A new model
is read, verified and tried before it takes the place of the one that serves; what fails leaves the old one where it is.
A request holds the line-up that it began with, so none is dropped by an exchange.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace

from fedcredit.errors import FedCreditError, ModelError
from server.promotion.desk import Desk
from server.promotion.history import Promoted
from server.promotion.pointer import NAME as POINTER
from server.promotion.rollback import fallback
from server.scoring.lineup import Lineup, Served, load
from server.scoring.policy import Policy

POLL_SECONDS = 0.05
AGAIN_SECONDS = 1.0  # between two tries of what failed
WATCHED = (POINTER, "history.jsonl")
Stamp = tuple[tuple[int, int] | None, ...]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What serves, and what stands in the way of serving what the desk says."""

    lineup: Lineup | None
    fault: str = ""


class Champion:
    """Follows one desk; `lineup` is what a request scores with."""

    def __init__(self, desk: Desk, policy: Policy) -> None:
        self._desk, self._policy = desk, policy
        self._state, self._stamp, self._tried = State(None), Stamp(), 0.0
        self._shunned = set[str]()  # digests that failed in this process
        self._untold: dict[str, str] = {}  # of them, champions whose fall-back the desk has not taken, with the reason
        self._telling, self._told_at = threading.Lock(), 0.0
        self._looking, self._changing, self._end = threading.Lock(), threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="champion", daemon=True)
        try:
            desk.mend()  # what a crash left, before anything is served
        except (FedCreditError, OSError) as fault:
            log.warning("the desk was not mended: %s", type(fault).__name__)
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
        """Follow the desk from now on."""
        self._thread.start()

    def close(self) -> None:
        """Follow it no more."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> bool:
        """Take what the desk says, if it is news; whether the line-up changed."""
        with self._looking:
            self._tell_again()
            stamp = self._looks()
            is_waiting = bool(self.fault) and time.monotonic() < self._tried + AGAIN_SECONDS
            if stamp == self._stamp and (not self.fault or is_waiting):
                return False
            self._tried = time.monotonic()
            try:
                found = self._found()
            except (FedCreditError, OSError) as fault:
                self._stay(fault)
                return False
            finally:
                self._stamp = stamp
            with self._changing:
                if found.champion.sha256 in self._shunned:  # it failed meanwhile
                    return False
                found = self._without_shunned(found)
                is_changed = self._state.lineup != found
                self._state = State(found)
            if is_changed:
                log.warning("champion %s", found.champion.model_version)
            return is_changed

    def fall_back(self, failed: Served, reason: str) -> None:
        """Put the champion before in the place of one that fails, at once; then tell the desk."""
        with self._changing:
            now = self.lineup
            if now is None or failed is not now.champion or now.previous is None:
                return
            self._shunned.add(failed.sha256)
            self._untold[failed.sha256] = reason
            self._state = State(replace(now, champion=now.previous, previous=None), f"fell back: {reason}")
        log.error("fell back from %s: %s", failed.model_version, reason)
        self._start_telling()

    def retire(self, challenger: Served, reason: str) -> None:
        """Let a challenger that fails answer no more."""
        with self._changing:
            now = self.lineup
            if now is None or now.challenger is not challenger:
                return
            self._shunned.add(challenger.sha256)
            self._state = replace(self._state, lineup=replace(now, challenger=None))
        log.error("challenger %s retired: %s", challenger.model_version, reason)

    def _without_shunned(self, lineup: Lineup) -> Lineup:
        """For whoever holds `_changing`: what was looked up before it failed is left out."""
        others = (lineup.challenger, lineup.shadow, lineup.previous)
        return Lineup(lineup.champion, *(one if one and one.sha256 not in self._shunned else None for one in others))

    def _start_telling(self) -> None:
        threading.Thread(target=self._tell, name="fall back", daemon=True).start()  # the desk may be held for seconds

    def _tell_again(self) -> None:
        """What a desk that was busy, or a disk that was full, did not take."""
        if self._untold and not self._telling.locked() and time.monotonic() >= self._told_at + AGAIN_SECONDS:
            self._start_telling()

    def _tell(self) -> None:
        with self._telling:
            for failed, reason in list(self._untold.items()):
                try:
                    fallback(self._desk, reason, over=failed)
                except (FedCreditError, OSError) as fault:
                    log.error("the desk did not take the fall-back: %s", type(fault).__name__)  # noqa: TRY400
                else:
                    self._untold.pop(failed, None)
            self._told_at = time.monotonic()

    def _stay(self, fault: FedCreditError | OSError) -> None:
        """Go on with what serves, and say why."""
        where = fault.where if isinstance(fault, FedCreditError) else "desk"
        found = fault.found if isinstance(fault, FedCreditError) else "a disk that fails"
        with self._changing:
            if self.lineup is None or not self._state.fault:
                log.warning("what the desk says is not served: %s: %s", where.rpartition("/")[2], found)
            self._state = replace(self._state, fault=f"{where.rpartition('/')[2]}: {found}")

    def _found(self) -> Lineup:
        state = self._desk.state()
        if state.champion is None:
            hint = "fedcredit model promote makes one"
            raise ModelError("desk", found="no champion", expected="a promoted model", hint=hint)
        if state.champion.bundle_sha256 in self._shunned:
            hint = "fedcredit model rollback, or promote another"
            raise ModelError("champion", found="the model that failed here", expected="another", hint=hint)
        have = {one.sha256: one for one in (self.lineup.all() if self.lineup else [])}
        champion = self._one(state.champion, have)
        others = (state.challenger, state.shadow, state.previous)
        return Lineup(champion, *(self._other(one, have) for one in others))

    def _one(self, promoted: Promoted, have: dict[str, Served]) -> Served:
        sha256 = promoted.bundle_sha256
        if sha256 in have:
            return have[sha256]
        return load(self._desk.bundle(sha256), promoted, self._policy)

    def _other(self, promoted: Promoted | None, have: dict[str, Served]) -> Served | None:
        """A challenger, shadow or previous champion; one that cannot be had keeps no champion from its place."""
        if promoted is None or promoted.bundle_sha256 in self._shunned:
            return None
        try:
            return self._one(promoted, have)
        except (FedCreditError, OSError) as fault:
            log.warning("version %s is left out: %s", promoted.version, type(fault).__name__)
            return None

    def _looks(self) -> Stamp:
        stamps = list[tuple[int, int] | None]()
        for name in WATCHED:
            try:
                found = (self._desk.folder / name).stat()
                stamps.append((found.st_mtime_ns, found.st_ino))
            except OSError:
                stamps.append(None)
        return tuple(stamps)

    def _follow(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            try:
                self.look()
            except Exception as fault:  # the thread must outlive what nobody thought of
                log.error("the desk was not followed: %s", type(fault).__name__)  # noqa: TRY400
