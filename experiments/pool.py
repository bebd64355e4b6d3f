"""Units of a study become files, on one process or a few; what is on disk already is not done again."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.numpy import save_file

from experiments.units import Unit
from experiments.workplace import Workplace
from fedcredit.settings import StudySettings

Done = tuple[Unit, dict[str, Any]]


def run_units(
    units: Sequence[Unit],
    settings: StudySettings,
    *,
    work: Path,
    folder: Path,
    on_round: Callable[[Unit, Any], None] = lambda unit, record: None,
) -> Iterator[Done]:
    """Each unit with its facts as soon as it is done; units that a run before the cut had done come first."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [unit for unit in units if not (folder / f"{unit.name}.json").exists()]
    yield from ((unit, read_facts(folder, unit)) for unit in units if unit not in todo)
    workers = min(settings.workers, len(todo))
    if workers <= 1 or settings.federation.engine != "inprocess":
        for unit in todo:
            yield unit, run_unit(unit, settings, work, folder, on_round)
        return
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork with threads
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_become_worker, initargs=(str(folder.parent / "log.txt"),)
    ) as pool:
        futures = {pool.submit(run_unit, unit, settings, work, folder): unit for unit in todo}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()  # whatever it was doing has its checkpoint
            raise


def run_unit(
    unit: Unit,
    settings: StudySettings,
    work: Path,
    folder: Path,
    on_round: Callable[[Unit, Any], None] = lambda unit, record: None,
) -> dict[str, Any]:
    """Train and score one unit and keep what came of it; the facts are written last, so they vouch for the rest."""
    from experiments.training import as_json, train

    own = folder / unit.name
    own.mkdir(exist_ok=True)
    trained = train(unit, settings, Workplace(work), folder=own, on_round=lambda record: on_round(unit, record))
    _replace(folder / f"{unit.name}.parquet", lambda path: trained.predictions.to_parquet(path, index=False))
    if trained.arrays is not None:
        arrays = dict(trained.arrays)
        _replace(folder / f"{unit.name}.safetensors", lambda path: save_file(arrays, path))
    facts = as_json(trained)
    _replace(folder / f"{unit.name}.json", lambda path: path.write_text(json.dumps(facts)))
    return facts


def read_facts(folder: Path, unit: Unit) -> dict[str, Any]:
    """What `run_unit` kept beside the predictions."""
    facts: dict[str, Any] = json.loads((folder / f"{unit.name}.json").read_text())
    return facts


def read_predictions(folder: Path, units: Sequence[Unit]) -> pd.DataFrame:
    """Predictions of all units, in the order of the units."""
    return pd.concat([pd.read_parquet(folder / f"{unit.name}.parquet") for unit in units], ignore_index=True)


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    draft = target.with_name(f".{target.name}")
    write(draft)
    draft.replace(target)


def _become_worker(log_file: str) -> None:
    """A worker leaves quietly on Ctrl-C, and does not outlive the study."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    logging.basicConfig(filename=log_file, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
