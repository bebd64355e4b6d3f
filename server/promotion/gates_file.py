"""Gates become a file that their approvers have signed, and the file becomes gates again, if it is the one in force."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.trust.envelope import MAX_FILE_BYTES, SealBroken, merge, open_sealed, peek, seal, signers_of
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import Identity
from server.promotion.gates import KIND, Gates

IN_FORCE, DRAFT = "gates.json", "gates.draft.json"


class GatesRefused(PolicyRefused):
    """No gates are in force, or the file is not the one that its approvers signed."""

    code = "gates"


def sealed_gates(gates: Gates, *, by: Sequence[Identity]) -> bytes:
    """The file of these gates with a signature of each in `by`."""
    return seal(gates.body(), kind=KIND, by=by)


def gates_in(data: bytes) -> Gates:
    """The gates in a file, whoever has signed them: to show them, or to sign them. Raises GatesRefused."""
    try:
        return Gates.from_body(peek(data, kind=KIND))
    except (ConfigError, SealBroken) as fault:
        raise GatesRefused(fault.where, found=fault.found, expected=fault.expected, hint=RESTORE) from None


RESTORE = "restore the file from its backup; gates are changed with fedcredit model gates set, never by hand"


def opened_gates(folder: Path, *, sha256: str | None) -> Gates:
    """The gates in force, whose digest the history has.

    Raises:
        GatesRefused: none are in force, or the file was edited.
    """
    if sha256 is None:
        hint = "found the desk: fedcredit model gates init NAME --approver ... --key ..."
        raise GatesRefused(folder.absolute().name, found="no gates in force", expected="signed ones", hint=hint)
    path, draft = folder / IN_FORCE, folder / DRAFT
    fault: PolicyRefused | None = None
    # After a crash between the history's line and the rename, the gates in force are still under the draft's name.
    for one in (path, draft):
        data = read_sealed(one)
        if data is None:
            continue
        try:
            gates = gates_in(data)
            open_sealed(data, kind=KIND, signers=gates.approvers.values(), threshold=gates.threshold)
        except PolicyRefused as found:
            fault = fault or found
            continue
        if gates.sha256 == sha256:
            return gates
    if fault is not None:
        raise GatesRefused(IN_FORCE, found=fault.found, expected=fault.expected, hint=RESTORE) from None
    raise GatesRefused(
        IN_FORCE,
        found="gates other than those that were signed into force",
        expected=f"sha256 {sha256[:12]}...",
        hint=RESTORE,
    )


def name_in_force(folder: Path, *, sha256: str | None) -> None:
    """Give the gates in force their name, where a crash left them under the draft's: the next draft would replace them.

    A draft that too few have signed stays one.
    """
    data = read_sealed(folder / DRAFT)
    if data is None or sha256 is None or _is_in_force(read_sealed(folder / IN_FORCE), sha256):
        return
    if _is_in_force(data, sha256):
        (folder / DRAFT).replace(folder / IN_FORCE)


def _is_in_force(data: bytes | None, sha256: str) -> bool:
    """Whether these are the gates of that digest, with their signatures."""
    try:
        gates = gates_in(data or b"")
        open_sealed(data or b"", kind=KIND, signers=gates.approvers.values(), threshold=gates.threshold)
    except PolicyRefused:
        return False
    return gates.sha256 == sha256


def put_in_force(folder: Path, data: bytes, *, current: Gates | None) -> Gates:
    """Check that these gates may follow the current ones, and lay the file ready; the caller records them.

    Raises:
        GatesRefused: they are of another model, or follow other gates than those in force.
        SealBroken: too few of the current approvers, or of the new ones, have signed.
    """
    gates = gates_in(data)
    name = folder.absolute().name
    if gates.model != name:
        raise GatesRefused(DRAFT, found=f"gates of {gates.model}", expected=f"those of {name}")
    for one in (current, gates):
        if one is not None:
            open_sealed(data, kind=KIND, signers=one.approvers.values(), threshold=one.threshold)
    if gates.after != (current.sha256 if current else None):
        found = f"gates to follow {gates.after[:12] if gates.after else 'none'}"
        expected = f"those to follow the ones in force, {current.sha256[:12] if current else 'none'}"
        hint = "somebody was faster, or old gates were put back: propose yours again with fedcredit model gates set"
        raise GatesRefused(DRAFT, found=found, expected=expected, hint=hint)
    write_whole(folder / DRAFT, data)
    return gates


def draft_with(folder: Path, data: bytes) -> bytes:
    """A draft with the signatures that the draft on the desk has too, if it is of the same gates."""
    there = read_sealed(folder / DRAFT)
    if there is None:
        return data
    try:
        return merge(data, there, kind=KIND)
    except SealBroken:
        return data


def missing(data: bytes, *, current: Gates | None) -> dict[str, tuple[int, list[str]]]:
    """How many more signatures a draft needs, and of whom: of those in force, and of the new ones."""
    found = {}
    for group, gates in (("approvers in force", current), ("new approvers", gates_in(data))):
        if gates is None:
            continue
        held = signers_of(data, kind=KIND, signers=gates.approvers.values())
        needed = gates.threshold - len(held)
        if needed > 0:
            found[group] = (needed, [n for n, one in gates.approvers.items() if one.fingerprint not in held])
    return found


def read_sealed(path: Path) -> bytes | None:
    """The bytes of a signed file, no more than one can have; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
