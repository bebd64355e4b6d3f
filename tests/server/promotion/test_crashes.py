"""A process that is killed at any step leaves the old champion or the new one, and the next command goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.promotion.desk import Desk
from server.promotion.promote import promote
from server.promotion.rollback import rollback
from tests.server.promotion.world import World

# Whatever changes the disk, or makes a change last.
STEPS = ("open", "write", "pwrite", "fsync", "fdatasync", "replace", "rename", "link", "unlink", "ftruncate")


def killed_at(step: int, work: Callable[[], object], *, is_torn: bool) -> bool:
    """Do the work in a child that is killed before its step of this number; False if it ended before.

    A torn write has half of its bytes on the disk.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def watched(name: str) -> Callable[..., Any]:
            real: Callable[..., Any] = getattr(os, name)
            write = os.write

            def call(*args: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    if is_torn and name == "write":
                        write(args[0], bytes(args[1])[: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **named)

            return call

        for name in STEPS:
            setattr(os, name, watched(name))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def crashes(folder: Path, work: Callable[[Desk], object], *, is_torn: bool) -> Iterator[Desk]:
    """The desk as each crash leaves it, from the first step to the last."""
    copy = folder.parent / "copies" / "models" / folder.name
    for step in range(1, 500):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        if not killed_at(step, lambda: work(Desk(copy)), is_torn=is_torn):
            assert step > 5
            return
        yield Desk(copy)
    raise AssertionError("no end")


def pointed(desk: Desk) -> str:
    return str(json.loads((desk.folder / "champion.json").read_text())["bundle_sha256"])


@pytest.mark.slow
@pytest.mark.parametrize("is_torn", [False, True])
def test_kill_at_every_step_of_a_promotion_leaves_the_old_or_the_new_champion(is_torn: bool, world: World) -> None:
    old = world.promote(world.bundle(bias=0.1)).bundle_sha256
    new = world.ready(world.bundle(bias=0.2))
    seen = []
    for desk in crashes(world.desk.folder, lambda one: promote(one, new, now=datetime.now(UTC)), is_torn=is_torn):
        champion = desk.champion()
        assert champion is not None
        assert champion.bundle_sha256 in (old, new)
        assert pointed(desk) in (old, champion.bundle_sha256)  # never ahead of the history
        desk.bundle(champion.bundle_sha256)
        desk.mend()
        assert pointed(desk) == champion.bundle_sha256
        seen.append(champion.bundle_sha256)
        if champion.bundle_sha256 == old:
            promote(desk, new, now=datetime.now(UTC))
        assert [one.seq for one in desk.history(is_each=True)]
    assert seen == sorted(seen, key=[old, new].index), "once new, always new"
    assert set(seen) == {old, new}


def test_kill_at_every_step_of_a_rollback_leaves_the_old_or_the_new_champion(world: World) -> None:
    first = world.promote(world.bundle(bias=0.1)).bundle_sha256
    second = world.promote(world.bundle(bias=0.2)).bundle_sha256
    seen = set()
    for desk in crashes(world.desk.folder, lambda one: rollback(one, reason="bad"), is_torn=True):
        champion = desk.champion()
        assert champion is not None
        desk.mend()
        assert pointed(desk) == champion.bundle_sha256
        seen.add(champion.bundle_sha256)
    assert seen == {first, second}


def test_unfinished_promotion_is_told_by_the_next_command(world: World) -> None:
    old = world.promote(world.bundle(bias=0.1))
    world.desk.record("intent", {"bundle_sha256": "0" * 64, "version": "9"})
    world.desk.mend()
    last = list(world.desk.history())[-1]
    assert (last.event, last.facts["found"]) == ("mended", "a promotion that was not finished")
    assert world.desk.champion() == old
    world.desk.mend()
    assert list(world.desk.history())[-1] == last, "once"
