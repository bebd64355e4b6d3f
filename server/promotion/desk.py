"""A folder becomes the desk of one model: who is champion, what stands by, and the record of how that came about.

The history is the truth, signed and chained; champion.json and the aliases in the registry follow it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedcredit.errors import PolicyRefused
from fedcredit.trust.chain_log import read_chain
from fedcredit.trust.keys import Identity
from server.promotion.gates import Gates
from server.promotion.gates_file import DRAFT, IN_FORCE, name_in_force, opened_gates, put_in_force, sealed_gates
from server.promotion.history import Entry, Event, History, Promoted, State, replayed
from server.promotion.kept import kept, version_of
from server.promotion.pointer import write_pointer

PATIENCE_SECONDS = 10.0
Looks = tuple[int, int, int]


class DeskRefused(PolicyRefused):
    """A desk was not founded, was founded before, or is held by another command."""

    code = "desk"


class Desk:
    """The desk in RUNS/models/NAME; looking at it is cheap, since what was verified is not verified again.

    >>> Desk(Path("no-such-folder")).champion() is None
    True
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is opened or made before it is asked for."""
        self.folder, self.name = folder, folder.absolute().name
        self._state: tuple[Looks, State] | None = None
        self._log: History | None = None

    @property
    def is_founded(self) -> bool:
        """Whether gates were signed for this model, so that a bundle can be promoted."""
        return self.state().gates_sha256 is not None

    def state(self) -> State:
        """What the history says. Raises HistoryBroken: it does not verify."""
        looks = self._looks()
        known = self._state
        if known is not None and known[0] == looks:
            return known[1]
        state = replayed(self.history(is_each=False))
        self._state = (looks, state)
        return state

    def champion(self) -> Promoted | None:
        """The bundle that decides, None before the first promotion."""
        return self.state().champion

    def challenger(self) -> Promoted | None:
        """The bundle that scores beside the champion to be compared."""
        return self.state().challenger

    def shadow(self) -> Promoted | None:
        """The bundle that scores in the dark."""
        return self.state().shadow

    def previous(self) -> Promoted | None:
        """The champion that a rollback goes back to."""
        return self.state().previous

    def bundle(self, sha256: str) -> Path:
        """The folder of a bundle on the desk, verified. Raises ModelError: it is not here, or was changed."""
        return kept(self.folder, sha256)

    def version(self, sha256: str) -> str:
        """What people call a bundle on the desk."""
        return version_of(self.folder, sha256)

    def history(self, *, is_each: bool = False) -> Iterator[Entry]:
        """Every entry, oldest first, verified through the chain by the last signature; `is_each` verifies all.

        Raises:
            HistoryBroken: with the line, where the history was edited or cut.
        """
        path = self.folder / "history.jsonl"
        if not path.exists() and not self._key.exists():
            return iter(())
        return read_chain(path, kind=Entry, public=self._identity().public, is_each=is_each)

    def gates(self) -> Gates:
        """The gates in force. Raises GatesRefused: none are, or the file was edited by hand."""
        return opened_gates(self.folder, sha256=self.state().gates_sha256)

    def evidence(self, sha256: str) -> Path:
        """Where the evidence about a bundle is, or would be."""
        return self.folder / "evidence" / f"{sha256}.json"

    def found(self, gates: Gates, *, by: Sequence[Identity]) -> None:
        """Put the first gates in force, signed by their threshold.

        Raises:
            DeskRefused: there are gates in force already, or these are of another model.
            SealBroken: too few of the approvers have signed.
        """
        data = sealed_gates(gates, by=by)
        with self.locked():
            self.put_in_force(data)

    def put_in_force(self, data: bytes) -> Gates:
        """Make these sealed gates those in force; the caller holds the lock. A crash leaves the old or the new ones.

        Raises:
            GatesRefused, SealBroken: too few approvers - of the gates in force, and of these - have signed.
        """
        state = self.state()
        gates = put_in_force(self.folder, data, current=self.gates() if state.gates_sha256 else None)
        facts = {
            "gates_sha256": gates.sha256,
            "approvers": {name: one.fingerprint for name, one in gates.approvers.items()},
            "threshold": gates.threshold,
        }
        self.record("gates" if state.gates_sha256 else "founded", facts)
        (self.folder / DRAFT).replace(self.folder / IN_FORCE)
        return gates

    def record(self, event: Event, facts: Mapping[str, object]) -> Entry:
        """One more line of the history, on the disk. Raises HistoryBroken: it cannot be, so nothing may happen."""
        if not self._key.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            Identity.generate().save(self._key)
        if self._log is None:
            self._log = History(self.folder / "history.jsonl", self._identity())
        looks, known = self._looks(), self._state
        entry = self._log.append(event, facts)
        if known is not None and known[0] == looks and known[1].seq + 1 == entry.seq:
            self._state = (self._looks(), known[1].after(entry))  # nothing else was written: the caller holds the lock
        return entry

    def mend(self) -> None:
        """Finish what a crash left: a promotion that was begun, gates or a pointer that lag; for a start of a service.

        Raises:
            DeskRefused: another command holds the desk.
        """
        if self.is_founded:
            with self.locked():
                self.mend_held()

    def mend_held(self) -> State:
        """As `mend`, by a caller that holds the lock; the state after it."""
        state = self.state()
        name_in_force(self.folder, sha256=state.gates_sha256)
        if state.intent is not None:
            self.record("mended", {"intent": state.intent, "found": "a promotion that was not finished"})
            state = self.state()
        write_pointer(self.folder, state)
        return state

    @contextmanager
    def locked(self, *, seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
        """Hold the desk: one command at a time. Raises DeskRefused: another one holds it for longer than that."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            give_up = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up:
                        hint = "wait for the other command; the lock goes with its process"
                        raise DeskRefused(
                            self.name, found="another command at this desk", expected="one at a time", hint=hint
                        ) from None
                    time.sleep(0.02)
            yield
        finally:
            os.close(lock)

    @property
    def _key(self) -> Path:
        return self.folder / "desk.key"

    def _identity(self) -> Identity:
        return Identity.load(self._key)

    def _looks(self) -> Looks:
        try:
            found = (self.folder / "history.jsonl").stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return found.st_mtime_ns, found.st_size, found.st_ino
