"""An order that came with a Flower run is conducted on the SuperLink's grid; every step of it is on disk.

This is the coordinator: SuperExec starts it for each run, at the platform, from the app bundle. Where it or the
SuperLink is killed, a new run with the same order finds the checkpoints and goes on at the next round.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedcredit.errors import FedCreditError, FederationError
from fedcredit.federation import checkpoint
from fedcredit.federation.checkpoint import RoundRecord
from fedcredit.federation.cohort import Register
from fedcredit.federation.deployed_grid import DeployedGrid
from fedcredit.trust.manifest import Manifest, ManifestFile
from server.app import Conducted, Order, conduct
from server.coordinators import CUT, at_work, notes_in, write_whole
from server.evaluated import as_facts
from server.order_signature import operator_of
from server.orders import DeployedOrder
from server.publishing.order import CHAMPION_TEXT, PublishOrder
from server.publishing.publish import publish
from server.superlink import key_bytes, key_text
from server.superlink_files import CONSORTIUM

STATUS, RESULT, FINAL = "status.json", "result.json", "final"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the order in the run's settings; what came of it is in the platform's studies folder."""
    home = Path(os.environ[CONSORTIUM])
    manifest = ManifestFile(home / "manifest.json").read(now=datetime.now(UTC))
    operator = operator_of(context.run_config, manifest)
    if context.run_config.get(CHAMPION_TEXT):
        _publish(grid, context, home, manifest=manifest, operator=operator)
        return
    order = DeployedOrder.from_config(context.run_config)
    folder = home / "studies" / order.folder
    folder.mkdir(parents=True, exist_ok=True)
    note = at_work(notes_in(home), flower_run=context.run_id, status=folder / STATUS)
    with _alone(folder), note:
        facts = {"unit": order.unit, "rounds": order.plan.rounds}
        story = _Story(folder, facts, flower_run=context.run_id, operator=operator)
        try:
            conducted = conduct(
                DeployedGrid(grid, deadline_seconds=order.plan.deadline_seconds),
                Order(
                    order.task,
                    order.plan,
                    order.strategy,
                    folder / "checkpoint",
                    pinned=_pinned(manifest),
                    questions=order.questions,
                ),
                on_round=story.round_done,
                register=_register(manifest),
            )
            _keep(folder, conducted, order)
        except FedCreditError as fault:
            story.write("failed", code=fault.code, fault=str(fault))
            raise
        except BaseException:  # the run was stopped, or the platform around it
            story.write(CUT)
            raise
        story.write("succeeded", round=conducted.state.round)


def _publish(grid: Grid, context: Context, home: Path, *, manifest: Manifest, operator: str) -> None:
    """Send a promoted bundle to every node that is online; who has it now is in the platform's studies folder."""
    order = PublishOrder.from_config(context.run_config)
    folder = home / "studies" / order.folder
    folder.mkdir(parents=True, exist_ok=True)
    note = at_work(notes_in(home), flower_run=context.run_id, status=folder / STATUS)
    with _alone(folder), note:
        facts = {"unit": order.unit, "model": order.model, "bundle_sha256": order.bundle_sha256}
        story = _Story(folder, facts, flower_run=context.run_id, operator=operator)
        try:
            deployed = DeployedGrid(grid, deadline_seconds=order.deadline_seconds)
            published = publish(
                deployed,
                order.sent,
                names=_register(manifest).names_on(deployed),
                members=tuple(member.name for member in manifest.active_members),
                study=order.study,
                model=order.model,
                deadline_seconds=order.deadline_seconds,
            )
            write_whole(folder / RESULT, published.as_dict())
        except FedCreditError as fault:
            story.write("failed", code=fault.code, fault=str(fault))
            raise
        except BaseException:
            story.write(CUT)
            raise
        story.write("succeeded")


def _register(manifest: Manifest) -> Register:
    """Whose node each key is: a node that says another institution's name is not heard."""
    keys = {key_text(key_bytes(member.flower_key)): member.name for member in manifest.active_members}
    return Register(keys)


def _pinned(manifest: Manifest) -> dict[str, Any]:
    return {member.name: member.identity for member in manifest.active_members}


def _keep(folder: Path, conducted: Conducted, order: DeployedOrder) -> None:
    """The final model in a checkpoint's form, then what vouches for it."""
    checkpoint.save(folder / FINAL, conducted.state, task_sha256=order.as_config()["order-sha256"])
    members = [asdict(member) for member in conducted.members]
    facts: dict[str, Any] = {"members": members, "epsilon": conducted.epsilon, "silent": list(conducted.silent)}
    facts["evaluations"] = [as_facts(one) for one in conducted.evaluations]
    write_whole(folder / RESULT, facts)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One coordinator a unit: of two at once each would take the other's replies for late ones."""
    with (folder / "lock").open("w") as file:
        for _ in range(50):  # one that was stopped a moment ago may still be leaving
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.2)
        else:
            raise FederationError(folder.name, found="another coordinator at work on it", expected="one at a time")
        yield


class _Story:
    """status.json and log.txt of one unit: what an operator reads while it runs."""

    def __init__(self, folder: Path, facts: dict[str, Any], *, flower_run: int, operator: str) -> None:
        self._folder = folder
        self._facts = facts | {"flower_run": flower_run, "operator": operator}
        self.write("gathering")

    def round_done(self, record: RoundRecord) -> None:
        """Note a round that is over, and checkpointed."""
        codes = sorted(record.quarantined.values())
        self._facts |= {"round": record.round, "seconds": record.seconds, "institutions": len(record.institutions)}
        self._facts |= {"quarantined": {code: codes.count(code) for code in codes}, "missing": len(record.missing)}
        self.write("running")

    def write(self, state: str, **more: str | int) -> None:
        """Say how it stands."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        said = {"state": state, "updated": now, "pid": os.getpid(), **self._facts, **more}
        shown = {key: value for key, value in said.items() if key not in ("updated", "pid", "unit")}
        # The log first: whatever is said to be done is in it, also after a crash between the two.
        with (self._folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{now} {json.dumps(shown, ensure_ascii=False)}\n")
            log.flush()
            os.fsync(log.fileno())
        write_whole(self._folder / STATUS, said)
