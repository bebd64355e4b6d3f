"""Settings become a run: train every unit, judge the predictions, write the report, register the candidate.

>>> from experiments.study import load, run  # doctest: +SKIP
>>> report = run(load("quickstart", ["seeds=[0]"]))  # doctest: +SKIP
>>> report  # a notebook draws it  # doctest: +SKIP
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from safetensors import SafetensorError

from experiments.charged import name_of
from experiments.deployed import deployed_members
from experiments.estimate import Estimate, estimate
from experiments.folder import RunFolder, config_sha256
from experiments.judgement import judge, prevalence_of
from experiments.machine import commit, machine
from experiments.pool import read_predictions, run_units
from experiments.rows import rows_of, table_of
from experiments.story import Story
from experiments.tracking import candidate, track, write_bundle
from experiments.trust import trust_mode
from experiments.units import Unit, units_of
from experiments.workplace import Workplace
from fedcredit.config import load
from fedcredit.data.schema import Table
from fedcredit.data.windows import Windows
from fedcredit.errors import FedCreditError, RunError
from fedcredit.evaluation.report import Report
from fedcredit.settings import StudySettings
from server.app import strategy_of

__all__ = ["Estimate", "dry_run", "load", "run"]


def run(settings: StudySettings) -> Report:
    """Run the study, or go on with a run that was cut, and return its report.

    Raises:
        FedCreditError: with the place and the remedy; what was finished stays on disk for `resume`.
    """
    began = time.perf_counter()
    windows, table = _rows(settings)
    units = units_of(settings, windows.institutions, has_incumbent="incumbent" in windows.about)
    for one in units:
        recipe = settings.recipe_for(one.arm, is_private=one.epsilon is not None, method=one.method)
        strategy_of(recipe.strategy)  # a wrong argument is found now, and masks that cannot be
        if one.arm == "federated":
            trust_mode(settings, recipe, institutions=len(windows.institutions) - bool(one.left_out))
    if settings.federation.engine == "superlink":
        deployed_members(settings)  # an operator who has joined no consortium hears so before a folder is made
    folder = RunFolder.open(settings)
    label = table.schema.label.definition
    is_public = settings.data.name != "table"
    run = name_of(folder, study=settings.study)
    place = Workplace.build(folder.path / "work", windows, label_definition=label, is_public=is_public, run=run)
    start_seconds = time.perf_counter() - began
    try:
        with _ended_as_by_ctrl_c(), Story(folder.path / "log.txt", total=len(units), title=settings.study) as story:
            story.tell(
                f"{settings.study}: {len(units)} models, {len(windows.institutions)} institutions -> {folder.path}"
            )
            facts = _train(units, settings, place, folder, story)
            story.tell(f"judging: intervals by {settings.evaluation.draws:,} bootstrap draws")
            predictions = read_predictions(folder.path / "units", units)
            timing = {
                "start_seconds": start_seconds,
                **_timing(facts, windows),
                "total_seconds": time.perf_counter() - began,
            }
            whence = origin(settings)
            report = judge(settings, windows, predictions, facts, folder=folder, timing=timing, origin=whence)
            offered = candidate(units)
            if offered is not None:
                known = prevalence_of(settings, windows)
                write_bundle(offered, settings, table, facts, folder=folder, origin=whence, prevalence=known)
            if settings.tracking.mlflow:
                story.tell("registering the candidate in MLflow")
                track(settings, table, facts, report, folder=folder, unit=offered, origin=whence)
    except KeyboardInterrupt:
        folder.write_status("interrupted", units=len(units))
        print(f"go on with: fedcredit study resume {folder.path}", file=sys.stderr)  # noqa: T201 - the story is over
        raise
    except FedCreditError as fault:
        folder.write_status("failed", error=fault.code)
        raise
    except (OSError, SafetensorError, BrokenProcessPool) as fault:
        hint = f"mend it and go on with: fedcredit study resume {folder.path}"
        found = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else type(fault).__name__
        folder.write_status("failed", error="run")
        raise RunError(str(folder.path), found=found, expected="room on the disk, and workers", hint=hint) from fault
    finally:
        shutil.rmtree(place.folder, ignore_errors=True)  # the rows; a resumed run lays them out again
    folder.write_status("succeeded", units=len(units), done=len(units))
    folder.point_latest()
    return report


def dry_run(settings: StudySettings) -> Estimate:
    """How long the study would take and what it would charge; trains on random numbers of the rows' shape."""
    windows, _ = _rows(settings)
    units = units_of(settings, windows.institutions, has_incumbent="incumbent" in windows.about)
    return estimate(settings, windows, units)


def origin(settings: StudySettings) -> dict[str, Any]:
    """Where a report comes from: configuration, code and machine."""
    return {"config_sha256": config_sha256(settings), "git_sha": commit(), "machine": machine()}


def _rows(settings: StudySettings) -> tuple[Windows, Table]:
    table = table_of(settings.data)
    return rows_of(settings, table), table


def _train(
    units: Sequence[Unit], settings: StudySettings, place: Workplace, folder: RunFolder, story: Story
) -> dict[Unit, dict[str, Any]]:
    facts: dict[Unit, dict[str, Any]] = {}
    is_deployed = settings.federation.engine == "superlink"

    def on_round(unit: Unit, record: Any) -> None:
        quarantined = f", quarantined {record.quarantined}" if record.quarantined else ""
        if record.round % 10 == 0 or quarantined or is_deployed:
            story.tell(f"  {unit}: round {record.round}, {record.seconds:.2f} s{quarantined}")
        if is_deployed:
            recipe = settings.recipe_for(unit.arm, is_private=unit.epsilon is not None, method=unit.method)
            facts_now = {"units": len(units), "done": len(facts), "round": record.round, "rounds": recipe.rounds}
            folder.write_status("running", **facts_now)

    folder.write_status("running", units=len(units), done=0)
    for unit, found in run_units(units, settings, work=place.folder, folder=folder.path / "units", on_round=on_round):
        facts[unit] = found
        story.finished(str(unit), seconds=found["seconds"])
        folder.write_status("running", units=len(units), done=len(facts))
    return facts


def _timing(facts: dict[Unit, dict[str, Any]], windows: Windows) -> dict[str, Any]:
    rounds = [r["seconds"] for unit, f in facts.items() if unit.arm == "federated" for r in f["history"]]
    longest = max((len(f["history"]) for unit, f in facts.items() if unit.arm == "federated"), default=0)
    median = sorted(rounds)[len(rounds) // 2] if rounds else None
    return {"round_seconds_median": median, "rounds": longest, "clients": len(windows.institutions)}


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """`study stop` and a shutdown send SIGTERM: it leaves what Ctrl-C leaves. Handlers are the main thread's alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
