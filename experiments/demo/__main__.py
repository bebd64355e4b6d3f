"""`fedcredit consortium demo`: from nothing to a finished study over TLS, on this machine, on synthetic rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.demo.found import Founded, found, give_rows, home_in
from experiments.demo.program import conduct, options, tell
from experiments.demo.run import Running, running
from experiments.rows import rows_of, table_of
from experiments.study import load, run
from fedcredit.errors import ConfigError
from fedcredit.federation.messages import MIN_SUM
from fedcredit.link.handshake import probe
from fedcredit.settings import StudySettings
from fedcredit.trust.words import host_of

STUDY = "quickstart"
COMPANIES = 800  # an institution
MOST = 60


def demo(
    folder: Path,
    *,
    institutions: int,
    rounds: int,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
    look: Callable[[Running], None] = lambda processes: None,
) -> dict[str, Any]:
    """Found, join, start, run the study's federated arm, show how it stands, stop: what came of it, with seconds.

    `look` is shown the running consortium once the study is done.
    """
    began = time.perf_counter()
    settings = settings_of(folder, institutions=institutions, rounds=rounds, seed=seed)
    with home_in(folder):
        table = table_of(settings.data)
        windows = rows_of(settings, table)
        founded = found(folder, windows.institutions, study=STUDY)
        give_rows(founded, windows, label_definition=table.schema.label.definition)
        founded_at = time.perf_counter()
        tell(f"{institutions} institutions joined ({founded_at - began:.1f} s); starting their nodes")
        with running(founded) as processes:
            online_at = time.perf_counter()
            group = group_of(founded)
            tell(f"all online ({online_at - founded_at:.1f} s), TLS 1.3 with {group}; running {STUDY}")
            report = run(settings)
            done_at = time.perf_counter()
            for name in founded.nodes:
                status = processes.status(name)
                tell(f"{name}: {status['messages']} messages answered, {sum(status['refused'].values())} refused")
            look(processes)
    headline = next(row for row in report.data["rows"] if row["arm"] == "federated" and row["institution"] == "all")
    return {
        "institutions": institutions,
        "rounds": report.data["timing"]["rounds"],
        "round_seconds_median": report.data["timing"]["round_seconds_median"],
        "auc": headline["auc"],
        "epsilon_spent": headline["epsilon_spent"],
        "tls_group": group,
        "seconds": {
            "found_and_join": round(founded_at - began, 2),
            "start": round(online_at - founded_at, 2),
            "study": round(done_at - online_at, 2),
            "total": round(done_at - began, 2),
        },
        "folder": str(folder),
    }


def settings_of(folder: Path, *, institutions: int, rounds: int, seed: int) -> StudySettings:
    """The study quickstart as a consortium can run it: its federated arm, masked, under epsilon 3."""
    if not MIN_SUM <= institutions <= MOST:
        raise ConfigError("--institutions", found=str(institutions), expected=f"{MIN_SUM} to {MOST}")
    overrides = [
        "engine=superlink",
        "arms=[federated]",
        f"seeds=[{seed}]",
        f"recipe.rounds={rounds}",
        f"data.economy.institutions={institutions}",
        f"data.economy.companies={COMPANIES * institutions}",  # each has to have some that default
        "privacy.metrics=none",  # as the policies say
        "tracking.mlflow=false",
        "targets=[]",
        f"runs={folder.resolve() / 'runs'}",
    ]
    return load(STUDY, overrides)


def group_of(founded: Founded) -> str:
    """The key exchange that the gateway takes."""
    gateway = founded.consortium.settings.gateway
    host, port = host_of(gateway), int(gateway.rpartition(":")[2])
    return probe(host, port, server_name=founded.consortium.settings.server_name).name


def main() -> None:
    """The command."""
    asked = options("fedcredit consortium demo", about=__doc__)
    asked.add_argument("--institutions", type=int, default=5, help="members, 4 to 60")
    asked.add_argument("--rounds", type=int, default=10)
    said = asked.parse_args()
    how = {"institutions": said.institutions, "rounds": said.rounds}
    conduct(said, lambda folder: demo(folder, **how, tell=tell), text=_text)


def _text(result: dict[str, Any]) -> str:
    seconds = result["seconds"]
    return (
        f"{result['institutions']} institutions, {result['rounds']} rounds, "
        f"{result['round_seconds_median']:.2f} s a round, "
        f"epsilon {result['epsilon_spent']:.2f}, test AUC {result['auc']:.3f} (synthetic rows)\n"
        f"{seconds['total']:.0f} s: {seconds['found_and_join']:.0f} to join, {seconds['start']:.0f} to start, "
        f"{seconds['study']:.0f} for the study"
    )


if __name__ == "__main__":
    main()
