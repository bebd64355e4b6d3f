"""A signed log is of one kind: its lines are none of another kind, and its errors are its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from fedcredit.errors import PolicyRefused
from fedcredit.trust.chain_entry import ChainEntry
from fedcredit.trust.chain_log import ChainLog, read_chain
from fedcredit.trust.keys import Identity

KEEPER = Identity.generate()


class DiaryBroken(PolicyRefused):
    """The diary does not verify."""

    code = "diary"


@dataclass(frozen=True)
class Diary(ChainEntry):
    context = b"fedcredit/v1/test-diary"
    events = frozenset({"begun", "mended", "slept"})
    refusal = DiaryBroken
    title = "diary"
    stops = "nobody sleeps"


@dataclass(frozen=True)
class Menu(ChainEntry):
    context = b"fedcredit/v1/test-menu"
    events = frozenset({"begun", "mended", "slept"})
    refusal = PolicyRefused
    title = "menu"
    stops = "nobody eats"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = ChainLog(tmp_path / "diary.jsonl", KEEPER, kind=Diary)
    for hours in (8, 7):
        log.append("slept", {"hours": hours})
    return log.path


def test_entries_come_back_as_they_were_written(path: Path) -> None:
    found = list(read_chain(path, kind=Diary, public=KEEPER.public))
    assert [(one.seq, one.event, one.facts.get("hours")) for one in found] == [
        (1, "begun", None), (2, "slept", 8), (3, "slept", 7),
    ]  # fmt: skip


def test_lines_of_one_kind_are_none_of_another(path: Path) -> None:
    with pytest.raises(PolicyRefused, match="line 1: found a signature"):
        list(read_chain(path, kind=Menu, public=KEEPER.public))


def test_broken_log_refuses_in_its_own_words(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"hours":8', b'"hours":9'))
    with pytest.raises(DiaryBroken, match="nobody sleeps"):
        list(read_chain(path, kind=Diary, public=KEEPER.public))


def test_event_that_the_log_does_not_know_is_not_written(path: Path) -> None:
    with pytest.raises(ValueError, match="no event of a diary"):
        ChainLog(path, KEEPER, kind=Diary).append("ate", {})
    assert len(list(read_chain(path, kind=Diary, public=KEEPER.public))) == 3
