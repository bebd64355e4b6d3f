"""The audit log has every line it was given, in order, and shows whatever is done to it afterwards."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clients.audit_entry import MAX_ENTRY_BYTES, AuditBroken, AuditEntry
from clients.audit_log import AuditLog, read_log
from fedcredit.trust.keys import Identity
from tests.conftest import later, small_files

IDENTITY = Identity.generate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def fill(path: Path, n: int = 5, *, log: AuditLog | None = None) -> AuditLog:
    log = log or AuditLog(path, IDENTITY)
    for number in range(n):
        log.append("asked", {"number": number})
    return log


def entries(path: Path) -> list[AuditEntry]:
    return list(read_log(path, public=IDENTITY.public))


def test_every_entry_is_on_disk_in_order_and_private_to_its_owner(path: Path) -> None:
    fill(path)
    found = entries(path)
    assert [(one.seq, one.event) for one in found] == [(1, "begun"), *((n, "asked") for n in range(2, 7))]
    assert [one.facts.get("number") for one in found[1:]] == [0, 1, 2, 3, 4]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_restarted_node_goes_on_with_the_same_chain(path: Path) -> None:
    fill(path)
    fill(path)
    assert [one.seq for one in entries(path)] == list(range(1, 12))


def _child(path: Path, identity: Identity, n: int) -> None:
    fill(path, n, log=AuditLog(path, identity))


def test_two_processes_write_one_chain(path: Path) -> None:
    fill(path, 1)
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_child, args=(path, replace(IDENTITY), 20)) for _ in range(2)]
    for child in children:
        child.start()
    log = fill(path, 20)
    for child in children:
        child.join()
        assert child.exitcode == 0
    fill(path, 1, log=log)
    assert [one.seq for one in entries(path)] == list(range(1, 64))


def without(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def edited(line: bytes) -> bytes:
    return line.replace(b'"number":1', b'"number":9')


def forged(lines: list[bytes]) -> list[bytes]:
    """Line 3 and all after it written anew, with hashes that fit, by a hand without the key."""
    thief, out = Identity.generate(), lines[:2]
    previous = json.loads(lines[1])["hash"]
    for line in lines[2:]:
        raw = json.loads(line)
        facts = {"number": 77} if raw["seq"] == 3 else raw["facts"]
        made = AuditEntry.after(raw["seq"] - 1, previous, time=raw["time"], event=raw["event"], facts=facts, by=thief)
        previous = made.hash
        out.append(made.to_line())
    return out


HANDS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "an entry was edited": (lambda lines: [edited(line) for line in lines], 3),
    "an entry was taken out": (lambda lines: without(lines, 2), 3),
    "an entry was put in twice": (lambda lines: [*lines[:3], *lines[2:]], 4),
    "two entries changed places": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
    "all entries after it were forged": (forged, 3),
    "a line is no JSON": (lambda lines: [*lines[:3], b"x" + lines[3], *lines[4:]], 4),
    "a line has a second form": (lambda lines: [*lines[:3], lines[3].replace(b'","', b'", "'), *lines[4:]], 4),
    "a line is too long": (lambda lines: [*lines[:3], b" " * 2 * MAX_ENTRY_BYTES + b"\n", *lines[4:]], 4),
    "a line is empty": (lambda lines: [*lines[:3], b"\n", *lines[3:]], 4),
}


@pytest.mark.parametrize("hand", HANDS)
def test_a_hand_in_the_log_is_shown_with_its_line_and_stops_the_node(hand: str, path: Path) -> None:
    log = fill(path)
    change, line = HANDS[hand]
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    later(path)
    with pytest.raises(AuditBroken, match=f"line {line}:"):
        entries(path)
    size = path.stat().st_size
    for writer in (log, AuditLog(path, IDENTITY)):
        with pytest.raises(AuditBroken):
            writer.append("asked", {})
    assert path.stat().st_size == size


def test_lines_cut_off_the_end_show(path: Path) -> None:
    log = fill(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(AuditBroken, match="4 entries where 6 were written"):
        entries(path)
    for writer in (log, AuditLog(path, IDENTITY)):
        with pytest.raises(AuditBroken):
            writer.append("asked", {})


@pytest.mark.parametrize("gone", ["audit.jsonl", "audit.jsonl.head"])
def test_a_deleted_log_is_not_begun_anew_in_silence(gone: str, path: Path) -> None:
    fill(path)
    path.with_name(gone).unlink()
    with pytest.raises(AuditBroken):
        fill(path)
    with pytest.raises(AuditBroken):
        entries(path)


def test_another_identitys_log_does_not_verify(path: Path) -> None:
    fill(path)
    with pytest.raises(AuditBroken, match="line 1: found a signature"):
        list(read_log(path, public=Identity.generate().public))


@pytest.mark.parametrize("is_warm", [False, True])
def test_a_line_torn_by_a_crash_is_set_aside_and_said(is_warm: bool, path: Path) -> None:
    log = fill(path)
    whole = path.read_bytes()
    line = whole.splitlines(keepends=True)[-1]
    for cut in (1, 20, len(line) - 1):
        path.write_bytes(path.read_bytes() + line[:cut])
        fill(path, 1, log=log if is_warm else None)
    found = entries(path)
    assert [one.event for one in found[6:]] == ["mended", "asked"] * 3
    mended = [one.facts for one in found if one.event == "mended"]
    assert [facts["bytes"] for facts in mended] == [1, 20, len(line) - 1]
    assert [path.with_name(facts["aside"]).read_bytes() for facts in mended] == [
        line[:n] for n in (1, 20, len(line) - 1)
    ]


def test_a_torn_line_is_no_entry_to_a_reader(path: Path) -> None:
    fill(path)
    path.write_bytes(path.read_bytes() + b'{"event":"as')
    assert len(entries(path)) == 6


def test_a_first_line_torn_by_a_crash_is_begun_again(path: Path) -> None:
    fill(path, 0)
    path.with_name("audit.jsonl.head").write_text(f"{0:020d} {'0' * 64}\n")
    path.write_bytes(b'{"event":"be')
    fill(path, 1)
    assert [one.event for one in entries(path)] == ["begun", "mended", "asked"]


def test_a_full_disk_is_an_error_and_leaves_the_log_whole(path: Path) -> None:
    log = fill(path)
    size = path.stat().st_size
    with small_files(size + 100), pytest.raises(AuditBroken, match="can be written"):
        log.append("asked", {"number": 5})
    assert path.stat().st_size == size
    fill(path, 1, log=log)
    assert len(entries(path)) == 7


def test_an_entry_has_a_largest_size(path: Path) -> None:
    log = fill(path, 1)
    with pytest.raises(AuditBroken, match="an entry of"):
        log.append("left", {"arrays": ["x" * 100] * 1000})
    fill(path, 1, log=log)
    assert len(entries(path)) == 3


def test_numbers_that_are_none_are_no_entry(path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        AuditLog(path, IDENTITY).append("asked", {"x": float("nan")})


def test_a_link_in_the_logs_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditBroken):
        fill(path)


def test_one_edit_anywhere_is_found(path: Path) -> None:
    fill(path, 3)
    whole = path.read_bytes()
    missed = []
    for at in itertools.chain(range(0, 400, 7), range(400, len(whole), 411)):
        if whole[at] in b"\n":
            continue
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            entries(path)
            missed.append(at)
        except AuditBroken:
            continue
    assert missed == []
