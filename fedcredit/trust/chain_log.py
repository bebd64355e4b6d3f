"""What happened becomes signed lines on the disk, each synced before what it records goes on.

A line is written whole, with its newline last. So a file that does not end in one was cut by a crash: the torn line is
set aside and a `mended` entry says so. Anything else that does not verify is an edit, and stops the keeper. A small
file beside the log keeps the number of its last entry, so that lines cut off its end show.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from fedcredit.errors import PolicyRefused
from fedcredit.trust.chain_entry import GENESIS, MAX_ENTRY_BYTES, ChainEntry
from fedcredit.trust.keys import Identity, PublicIdentity

Looks = tuple[int, int, int]
E = TypeVar("E", bound=ChainEntry)


class ChainLog(Generic[E]):
    """A signed log in one file of mode 0600; several processes may write to it, one line at a time."""

    def __init__(self, path: Path, identity: Identity, *, kind: type[E]) -> None:
        """Nothing is opened before the first entry."""
        self.path, self.kind, self._identity, self._beside = path, kind, identity, _head_path(path)
        self._lock = threading.Lock()
        self._seq, self._head, self._end = 0, GENESIS, 0
        self._looks: Looks | None = None

    def append(self, event: str, facts: Mapping[str, Any]) -> E:
        """The entry, once it is on disk.

        Raises:
            PolicyRefused: the log's refusal: it was edited, or cannot be written; what was to be recorded must
                not happen.
        """
        with self._lock, self._open() as file:
            self._catch_up(file)
            return self._write(file, event, facts)

    def _write(self, file: int, event: str, facts: Mapping[str, Any]) -> E:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = self.kind.after(self._seq, self._head, time=now, event=event, facts=facts, by=self._identity)
        line = entry.to_line()
        try:
            written = os.write(file, line)
            if written < len(line):
                raise OSError(28, "a line that was not written whole")  # noqa: TRY301 - as a full disk says it
            os.fdatasync(file)
        except OSError:
            self._looks = None
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._end)
            raise
        self._seq, self._head, self._end = entry.seq, entry.hash, self._end + len(line)
        _write_head(self._beside, entry.seq, entry.hash)
        self._looks = _looks(file)
        return entry

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        """The file under its lock; a fault of the disk is one of the log."""
        try:
            # A file beside without a number: a crash came between its name and its bytes, before there was a log.
            if self._looks is None and not _has_bytes(self._beside) and not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                _write_head(self._beside, 0, GENESIS, is_synced=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(self.path, flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
            finally:
                os.close(file)  # and with it the lock
        except OSError as fault:
            found = os.strerror(fault.errno or 0).lower()
            hint = "nothing is done that would not be on record; mend the disk or the permissions"
            raise self.kind.refusal(
                self.path.name, found=found, expected="a log that can be written", hint=hint
            ) from None

    def _catch_up(self, file: int) -> None:
        """Verify what this process has not: nothing, if the file looks as it was left; else lines of others, or all."""
        looks = _looks(file)
        if looks == self._looks:
            return
        is_longer = self._looks is not None and looks[2] == self._looks[2] and looks[1] > self._end
        self._looks = None
        if not is_longer:
            self._seq, self._head, self._end = 0, GENESIS, 0
        public, known, where = self._identity.public, _read_head(self.path, self.kind), self.path.name
        with os.fdopen(os.dup(file), "rb") as stream:
            stream.seek(self._end)
            lines = self._counted(stream)
            for entry in self.kind.verified(
                lines, public=public, where=where, seq=self._seq, previous=self._head, is_each=False
            ):
                self._seq, self._head = entry.seq, entry.hash
                _check_known(entry, known, where=where)
        if self._seq < known[0]:
            raise cut_off(self.kind, where, found=f"{self._seq} entries where {known[0]} were written")
        torn = os.pread(file, MAX_ENTRY_BYTES, self._end)
        aside = self._set_aside(file, torn) if torn else ""
        if self._seq == 0:
            self._write(file, "begun", {"identity": public.fingerprint})
        if torn:
            self._write(file, "mended", {"bytes": len(torn), "aside": aside})

    def _counted(self, stream: BinaryIO) -> Iterator[bytes]:
        for line in _lines(stream):
            self._end += len(line)
            yield line

    def _set_aside(self, file: int, torn: bytes) -> str:
        name = f"{self.path.name}.torn-{self._seq + 1}"
        with contextlib.suppress(FileExistsError):
            copy = os.open(self.path.with_name(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(copy, "wb") as aside:
                aside.write(torn)
                aside.flush()
                os.fsync(aside.fileno())
        os.ftruncate(file, self._end)
        return name


def read_chain(path: Path, *, kind: type[E], public: PublicIdentity, is_each: bool = True) -> Iterator[E]:
    """Every entry of a log, oldest first, verified; a torn last line is no entry.

    Raises:
        PolicyRefused: the log's refusal, with the line that was edited; or where lines were cut off its end.
    """
    known, last = _read_head(path, kind), 0
    if path.exists():
        with path.open("rb") as stream:
            for entry in kind.verified(_lines(stream), public=public, where=path.name, is_each=is_each):
                _check_known(entry, known, where=path.name)
                last = entry.seq
                yield entry
    if last < known[0]:
        raise cut_off(kind, path.name, found=f"{last} entries where {known[0]} were written")


def read_copy(path: Path, *, kind: type[E], public: PublicIdentity) -> Iterator[E]:
    """Every entry of a copy that lies elsewhere, without the file beside it: lines cut off its end do not show.

    Raises:
        PolicyRefused: the log's refusal, with the line that was edited, or the first one of another keeper.
    """
    with path.open("rb") as stream:
        yield from kind.verified(_lines(stream), public=public, where=str(path), is_each=False)


def cut_off(kind: type[ChainEntry], where: str, *, found: str) -> PolicyRefused:
    """The refusal of a log that is shorter than it was."""
    hint = "restore the log with the file beside it; or keep both as evidence elsewhere, and a new log begins"
    return kind.refusal(where, found=found, expected="all that were written", hint=hint)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, but for a last one without its end; one that is longer than any entry comes in pieces, which are none."""
    for line in iter(lambda: stream.readline(MAX_ENTRY_BYTES + 1), b""):
        if line.endswith(b"\n") or len(line) > MAX_ENTRY_BYTES:
            yield line


def _check_known(entry: ChainEntry, known: tuple[int, str], *, where: str) -> None:
    if entry.seq == known[0] and entry.hash != known[1]:
        raise cut_off(type(entry), where, found="another entry under the number of one that was written")


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _write_head(beside: Path, seq: int, digest: str, *, is_synced: bool = False) -> None:
    """Not synced with each entry: after a crash it may be behind the log, which is no harm, and never ahead of it."""
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(file, f"{seq:020d} {digest}\n".encode(), 0)
        if is_synced:
            os.fsync(file)
    finally:
        os.close(file)


def _read_head(path: Path, kind: type[ChainEntry]) -> tuple[int, str]:
    try:
        number, digest = _head_path(path).read_text(encoding="ascii").split()
        return int(number), digest
    except (OSError, ValueError):
        if path.exists():
            raise cut_off(kind, _head_path(path).name, found="no number of the last entry") from None
        return 0, GENESIS


def _looks(file: int) -> Looks:
    found = os.fstat(file)
    return found.st_mtime_ns, found.st_size, found.st_ino
