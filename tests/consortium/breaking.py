"""What tests break a running consortium with, and how they leave it whole."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clients.audit_cli import verify_all
from fedcredit.federation.checkpoint import RoundRecord
from fedcredit.federation.messages import Task
from fedcredit.models.train import LocalSettings
from server.orders import DeployedOrder
from tests.consortium.world import NAMES, World
from tests.federation.conftest import make_task

ONLINE_SECONDS = 120.0


def until(is_so: Callable[[], Any], *, seconds: float = 60.0, pause: float = 0.02) -> Any:
    """What `is_so` gives once that is true."""
    give_up = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(pause)
    return found


def long_task(seconds: float = 0.7) -> Task:
    """A task whose local training takes about so long on a quiet core: 3,000 steps of a tiny model a second."""
    return make_task(local=LocalSettings("sgd", lr=0.001, batch_size=32, steps=int(3000 * seconds)))


@contextmanager
def mended(world: World) -> Iterator[None]:
    """The consortium, whole again at the end: who is not there is started, and all are waited for."""
    try:
        yield
    finally:
        processes = world.processes
        for name in ("platform", *NAMES):
            process = processes.processes.get(name)
            if process is None or process.poll() is not None:
                _ = processes.start_platform() if name == "platform" else processes.start_node(name)
        processes.wait_online(seconds=ONLINE_SECONDS)
        until(lambda: is_serving(world), seconds=ONLINE_SECONDS)


def is_serving(world: World) -> bool:
    """Whether SuperLink and SuperExec are alive."""
    try:
        return all(is_alive(pid) for pid in world.processes.platform_pids().values())
    except OSError:
        return False


def is_started_again(world: World, before: Mapping[str, int]) -> bool:
    """Whether every process that the platform kept is another one, and alive."""
    try:
        now = world.processes.platform_pids()
    except OSError:
        return False
    return set(now) == set(before) and set(now.values()).isdisjoint(before.values()) and is_serving(world)


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int) -> None:
    """End a process as a crash would."""
    os.kill(pid, signal.SIGKILL)


def kill_node(world: World, name: str) -> None:
    """End the node's network process as a crash would; its worker and its tunnel are left to themselves."""
    world.processes.stop(name, sign=signal.SIGKILL)


def is_asked(world: World, name: str) -> bool:
    """Whether the node has a question that it has not answered."""
    return (world.founded.nodes[name].state / "question.pb").exists()


def is_training(world: World, name: str) -> bool:
    """Whether the node has a question of which its log has `train`, and no more."""
    if not is_asked(world, name):
        return False
    log = world.founded.nodes[name].audit_log.read_bytes()
    if not log.endswith(b"\n"):  # a line is being written
        return False
    last: dict[str, Any] = json.loads(log.splitlines()[-1])
    facts = last.get("facts", last)
    return last.get("event") == "asked" and str(facts.get("type")).startswith("train")


def wait_in_training(world: World, name: str) -> None:
    """Return when the node is in a training step."""
    until(lambda: is_training(world, name))


@contextmanager
def held_in_training(world: World, *names: str) -> Iterator[None]:
    """The nodes in a training step that does not end before the block does: their workers stand still in it.

    Flower hands a question out once: one whose answer is on its way while a server dies is lost, and its institution
    misses the round. Who wants all of them in it breaks nothing but in here.
    """
    workers = [int(world.processes.status(name)["worker_pid"]) for name in names]

    def are_held() -> bool:
        _send(signal.SIGSTOP, workers)
        if all(is_training(world, name) for name in names):
            return True
        _send(signal.SIGCONT, workers)
        return False

    try:
        until(are_held, pause=0.003)  # in slow motion: a step may be shorter than a look
        yield
    finally:
        _send(signal.SIGCONT, workers)


def _send(sign: int, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sign)


def after_round(number: int, act: Callable[[], object]) -> Callable[[RoundRecord], None]:
    """Act once, when the operator hears of that round, or of a later one: who looks twice a second may miss it."""
    done = []

    def on_round(record: RoundRecord) -> None:
        if record.round >= number and not done:
            done.append(record.round)
            act()

    return on_round


def status_of(world: World, order: DeployedOrder) -> dict[str, Any]:
    """The unit's status.json at the platform, {} where there is none yet."""
    try:
        said: dict[str, Any] = json.loads((world.unit(order) / "status.json").read_text())
    except OSError:
        return {}
    return said


def story_of(world: World, order: DeployedOrder) -> list[tuple[str, dict[str, Any]]]:
    """The lines of the unit's log: moment, and what was said."""
    lines = (world.unit(order) / "log.txt").read_text(encoding="utf-8").splitlines()
    return [(at, json.loads(said)) for at, _, said in (line.partition(" ") for line in lines)]


def verify_every_node(world: World) -> None:
    """`fedcredit node verify` of every node: exit code 0, or this raises."""
    for name in NAMES:
        verify_all(home=world.founded.nodes[name].folder)


def tunnel_pid(folder: Path) -> int:
    """The process of the Caddy in a folder."""
    return int((folder / "caddy.pid").read_text())
