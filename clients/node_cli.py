"""`fedcredit node`: what an institution has spent of its companies' privacy, what is left, and what would fit."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.audit_cli import recorded
from clients.joining_cli import joining
from clients.leaves_cli import leaving
from clients.policy_cli import policy
from clients.running_cli import running
from clients.score_cli import scoring
from clients.upkeep_cli import upkeep
from fedcredit.errors import ConfigError, FedCreditError

if TYPE_CHECKING:
    from fedcredit.privacy.ceilings import Ceilings
    from fedcredit.privacy.entry import Entry
    from fedcredit.privacy.schedule import Fitted
    from fedcredit.privacy.statement import Statement

node = typer.Typer(
    name="node", no_args_is_help=True, help="An institution's node: join, start, see what leaves, refuse."
)
ledger = typer.Typer(name="ledger", invoke_without_command=True)
node.add_typer(ledger)
node.add_typer(joining)
node.add_typer(running)
node.add_typer(upkeep)
node.add_typer(leaving)
node.add_typer(recorded)
node.add_typer(policy)
node.add_typer(scoring)

LedgerFile = Annotated[
    Path | None, typer.Option("--ledger", help="The ledger; else the only one under FEDCREDIT_HOME (~/.fedcredit).")
]
CeilingsFile = Annotated[
    Path | None, typer.Option("--ceilings", help="YAML file of the institution's own limits; else its policy's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@node.callback()
def main() -> None:
    """An institution's node: join, start, see what leaves and what was spent, refuse."""


@ledger.callback()
def show_ledger(
    context: typer.Context,
    ledger_file: LedgerFile = None,
    ceilings_file: CeilingsFile = None,
    next_epsilon: Annotated[
        float | None, typer.Option("--next", help="Epsilon of a next run; else as the last.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify the ledger, then show the spend by study, what is left, and what the next run would cost.

    Epsilon is that of a company, composed over everything that was charged; it does not add up: the next run costs less
    than its own epsilon. A plan that is not closed is reserved.
    """
    if context.invoked_subcommand:
        if ledger_file or ceilings_file or next_epsilon or as_json:
            raise ConfigError("command line", found="an option before the verb", expected="options after it")
        return
    from fedcredit.privacy.statement import statements

    path, entries = _entries(ledger_file)
    found = statements(entries, ceilings=_ceilings(ceilings_file, ledger=path), next_epsilon=next_epsilon)
    head = entries[-1].hash if entries else None
    if as_json:
        facts = {"ledger": str(path), "entries": len(entries), "verified": True, "head": head}
        typer.echo(json.dumps({**facts, "populations": [asdict(one) for one in found]}, ensure_ascii=False))
        return
    typer.echo(f"{path}: {len(entries)} entries, chain verified, head {head[:16] if head else '-'}")
    for one in found:
        typer.echo("\n".join(_lines(one)))


@ledger.command("plan")
def plan_ledger(
    lifetime: Annotated[float, typer.Option(help="Ceiling on the epsilon of a company's lifetime.")],
    delta: Annotated[float, typer.Option(help="At most 1 / (10 n) for n companies.")] = 1e-6,
    retrains: Annotated[int, typer.Option(help="Trainings of the model.")] = 12,
    every: Annotated[int, typer.Option(help="Months from one training to the next.")] = 3,
    months: Annotated[int, typer.Option(help="Months of monitoring, a noised histogram of scores each.")] = 36,
    sample_rate: Annotated[float, typer.Option(help="Chance of a company to be in a batch.")] = 0.1,
    steps: Annotated[int, typer.Option(help="Noisy steps of one training, over all its rounds.")] = 200,
    monitoring_share: Annotated[float, typer.Option(help="Part of the lifetime that monitoring may take.")] = 0.1,
    start: Annotated[str | None, typer.Option(help="Day of the first training; else today.")] = None,
    population: Annotated[
        str | None, typer.Option(help="Count what was spent by this population of the ledger.")
    ] = None,
    ledger_file: LedgerFile = None,
    as_json: Json = False,
) -> None:
    """Fit a calendar of trainings and monitoring into a lifetime's epsilon, and show the noise of each, date by date.

    With `--population` what its ledger has charged and reserved comes first. It computes for some seconds and charges
    nothing.
    """
    from fedcredit.privacy.history import committed
    from fedcredit.privacy.schedule import Calendar, fit

    calendar = Calendar(
        start=_day(start),
        retrains=retrains,
        every_months=every,
        months=months,
        sample_rate=sample_rate,
        steps=steps,
        monitoring_share=monitoring_share,
    )
    mine = []
    if population is not None:
        mine = [entry for entry in _entries(ledger_file)[1] if entry.population == population]
        if not mine:
            raise ConfigError("--population", found="one that the ledger does not know", expected="one that it shows")
        delta = min([delta, *(entry.delta for entry in mine)])
    fitted = fit(calendar, lifetime_epsilon=lifetime, delta=delta, before=committed(mine))
    typer.echo(json.dumps(asdict(fitted), default=str) if as_json else "\n".join(_calendar(fitted)))


@ledger.command("close")
def close_run(run: str, ledger_file: LedgerFile = None, as_json: Json = False) -> None:
    """Close RUN: what its plan reserved and never charged is free again, what it charged stays charged."""
    from fedcredit.privacy.ledger import Ledger

    path, _ = _entries(ledger_file)
    Ledger(path).close(run)
    typer.echo(json.dumps({"closed": run}, ensure_ascii=False) if as_json else f"closed {run}")


def _entries(said: Path | None) -> tuple[Path, list[Entry]]:
    from fedcredit.privacy.ledger import Ledger, home

    if said is None:
        found = sorted(home().glob("*/ledger.sqlite"))
        if len(found) != 1:
            names = ", ".join(path.parent.name for path in found) or "none"
            raise ConfigError(
                "--ledger", found=f"{names} under {home()}", expected="one ledger", hint="name it: --ledger PATH"
            )
        said = found[0]
    if not said.exists():
        raise ConfigError(
            "--ledger", found=f"no file {said}", expected="a ledger", hint="nothing was charged there yet"
        )
    return said, Ledger(said).entries()


def _ceilings(said: Path | None, *, ledger: Path | None = None) -> Ceilings:
    """Those of the file; else those of the policy that stands beside the ledger of a node."""
    from fedcredit.privacy.ceilings import Ceilings

    policy_file = ledger.with_name("policy.yaml") if ledger else None
    if said is None and policy_file is not None and policy_file.exists():
        from clients.policy_file import parse_policy, read_text

        with contextlib.suppress(FedCreditError):  # `node check` says what is wrong with a policy
            limits = parse_policy(read_text(policy_file), where=policy_file.name).epsilon
            return Ceilings(lifetime_epsilon=limits.lifetime, run_epsilon=limits.run)
    return Ceilings.read(said) if said else Ceilings()


def _day(said: str | None) -> date:
    try:
        return date.fromisoformat(said) if said else date.today()
    except ValueError:
        raise ConfigError("--start", found=repr(said), expected="a day such as 2027-01-15") from None


def _lines(one: Statement) -> list[str]:
    limit = "no ceiling set" if one.ceiling is None else f"ceiling {one.ceiling:g}, left {one.left:.3f}"
    lines = [
        f"{one.population}: lifetime epsilon {one.lifetime:.3f} at delta {one.delta:g}; "
        f"{one.committed:.3f} with what is reserved; {limit}"
    ]
    if one.institutions > 1:
        across = f"{one.across_institutions:.3f} if {one.institutions} institutions know a company and all do the same"
        lines.append(f"  across institutions: {across}")
    lines += [
        f"  {study.study:32} {study.runs:4} runs {study.charges:6} charges   epsilon {study.epsilon:.3f}"
        + (f", of evaluations {study.epsilon_metrics:.3f}" if study.epsilon_metrics else "")
        for study in one.studies
    ]
    if one.next_run:
        fits = "" if one.next_run.fits is None else f"; {one.next_run.fits} such runs still fit"
        lines.append(
            f"  next run: its own epsilon {one.next_run.epsilon:.3f}, lifetime {one.next_run.lifetime_after:.3f}{fits}"
        )
    return lines


def _calendar(fitted: Fitted) -> list[str]:
    lines = [f"training: noise {fitted.training_noise:.3f}, epsilon {fitted.training_epsilon:.3f} each"]
    if fitted.metrics_noise is not None:
        lines.append(
            f"monitoring: noise {fitted.metrics_noise:.1f} companies a bin, epsilon {fitted.metrics_epsilon:.3f} in all"
        )
    lines.append("date        what            noise   epsilon  lifetime")
    lines += [
        f"{visit.on}  {visit.what:12} {visit.noise:8.3f} {visit.epsilon:9.3f} {visit.lifetime:9.3f}"
        for visit in fitted.visits
    ]
    return lines
