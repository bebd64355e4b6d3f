"""A promoted bundle on a desk becomes a score at an institution's node, which nothing of its companies leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.decision.typed import Keyboard
from experiments.demo.found import Founded, give_rows
from experiments.demo.run import Running
from experiments.rows import rows_of, table_of
from experiments.study import load


def give_study_rows(founded: Founded, study: str, settings: Sequence[str]) -> None:
    """Lay the rows that each of the consortium's institutions has in the study into its node's folder."""
    said = load(study, list(settings))
    table = table_of(said.data)
    give_rows(founded, rows_of(said, table), label_definition=table.schema.label.definition)


@contextmanager
def starting(founded: Founded) -> Iterator[Running]:
    """The platform and nodes, started and not waited for; stopped at the end."""
    processes = Running(founded)
    try:
        processes.start_platform()
        for name in founded.nodes:
            processes.start_node(name)
        yield processes
    finally:
        processes.stop_all()


def published(keyboard: Keyboard, processes: Running, model: str) -> list[str]:
    """The institutions whose nodes verified the champion and keep it."""
    processes.wait_online()
    said = keyboard.type(f"model publish {model}")
    keyboard.tell(f"  kept by {', '.join(said['kept'])}")
    return list(said["kept"])


def scored_at_node(keyboard: Keyboard, home: Path, table: str, company: str) -> dict[str, Any]:
    """The node's score of a company, with the officers by whose word it took the champion."""
    said = keyboard.type(f"node score {table} --home {home.name}")
    (score,) = (one for one in said["scores"] if one["company"] == company)
    keyboard.tell(f"  {said['rows']} companies; {company}: {score['pd']:.4f} {score['grade']}")
    return {**score, "promoted_by": said["promoted_by"], "bundle_sha256": said["bundle_sha256"]}
