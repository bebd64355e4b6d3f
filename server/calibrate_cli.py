"""`fedcredit model calibrate`: a model and outcomes beside its scores become a model that gives PDs and grades."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedcredit.errors import ConfigError

if TYPE_CHECKING:
    from fedcredit.credit.other_rates import RateEffect
    from server.outcomes import Outcomes

Method = Literal["temperature", "beta", "isotonic"]


def calibrate_model(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new bundle.")],
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="CSV or Parquet with y and p (raw) or pd (as scored).")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="COLUMN=VALUE that the predictions' rows must have; repeat it.")
    ] = None,
    counts: Annotated[
        Path | None,
        typer.Option("--counts", help="result.json of a deployed unit, an evaluations.json, or counts by bin."),
    ] = None,
    evaluation: Annotated[
        int | None, typer.Option("--evaluation", min=1, help="Which evaluation of --counts, from 1; else the last.")
    ] = None,
    method: Annotated[Method, typer.Option("--method", help="What is fitted.")] = "temperature",
    long_run_rate: Annotated[
        float | None, typer.Option("--long-run-rate", help="Default rate over the cycle, to move to, as a share: 0.02.")
    ] = None,
    period_rate: Annotated[
        float | None, typer.Option("--period-rate", help="Default rate of the latest period, as a share.")
    ] = None,
    periods: Annotated[
        Path | None,
        typer.Option(
            "--periods",
            help="CSV with period, companies, defaults: gives the long-run rate, the mean of all, and the latest.",
        ),
    ] = None,
    point_in_time: Annotated[
        bool,
        typer.Option(
            "--point-in-time/--through-the-cycle", help="PDs at the latest period's rate or at the long run's."
        ),
    ] = False,
    portfolio: Annotated[
        Path | None,
        typer.Option(
            "--portfolio",
            help="Scores without outcomes: their mean PD is anchored at the long-run rate, "
            "or the rate is estimated from them.",
        ),
    ] = None,
    register: Annotated[bool, typer.Option("--register/--no-register", help="As the next version.")] = True,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs whose registry is asked.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a version of a model that gives calibrated PDs and grades: same weights, other steps after them.

    Take rows that the model did not learn from. Nothing of them is kept but a few numbers; under differential privacy
    those numbers are not part of the model's epsilon.
    """
    from fedcredit.models.bundle import read, write
    from fedcredit.models.calibrated import told
    from fedcredit.models.steps import as_card
    from fedcredit.registry import resolve
    from server.calibration import calibrated
    from server.default_rates import ENOUGH_PERIODS, rates_of
    from server.outcomes import read_counts, read_portfolio, read_predictions

    if (predictions is None) == (counts is None):
        found = "both" if predictions else "neither"
        raise ConfigError("--predictions and --counts", found=found, expected="one of them")
    rates = rates_of(long_run=long_run_rate, period=period_rate, periods=periods)
    to_rate = rates.of(is_point_in_time=point_in_time)
    if evaluation is not None and counts is None:
        raise ConfigError("--evaluation", found="no --counts", expected="the file that it is in")
    asked = dict(_pair(one) for one in where or [])
    bundle = read(resolve(name, runs=runs))
    if counts is not None:
        outcomes = read_counts(counts, evaluation=evaluation)
    else:
        outcomes = read_predictions(predictions or Path(), where=asked)
    scored = read_portfolio(portfolio, outcomes=outcomes) if portfolio is not None else None
    found_steps = calibrated(
        bundle, outcomes, method=method, to_rate=to_rate, portfolio=scored, beside=rates.both if to_rate else None
    )
    _tell(outcomes, is_private=bundle.epsilon is not None)
    if 0 < len(rates.periods) < ENOUGH_PERIODS:
        typer.echo(f"note: {len(rates.periods)} periods; a long-run rate asks for {ENOUGH_PERIODS} or more", err=True)
    if (rate := found_steps.estimate) is not None:
        typer.echo(
            f"label-free rate {rate.rate:.4f} (95 % {rate.low:.4f} to {rate.high:.4f}), if good and bad companies "
            "score as they did in the outcomes' rows",
            err=True,
        )
    made = write(out, found_steps.bundle)
    registered = _register(name, out, study=made.study, runs=runs) if register else None
    facts = {
        "model_version": made.version,
        "from": bundle.version,
        "companies": found_steps.companies,
        "defaults": found_steps.defaults,
        "steps": as_card(made.calibration),
        "scale": made.scale,
        "epsilon_metrics": outcomes.epsilon,
        "point_in_time": point_in_time,
        "long_run_rate": rates.long_run,
        "period_rate": rates.period,
        "rates": [asdict(one) for one in found_steps.rates],
        "beside": {name: asdict(one) for name, one in found_steps.beside.items()},
        "bundle": str(out),
        "registered": registered,
    }
    about = "" if outcomes.epsilon is None else "about "
    typer.echo(f"{about}{found_steps.defaults} of {found_steps.companies} companies defaulted", err=True)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    typer.echo(f"{made.version}  {'; '.join(told(step) for step in made.calibration)}  scale {made.scale}")
    for line in _beside(found_steps.rates, found_steps.beside):
        typer.echo(line)
    typer.echo(registered or str(out))


def _tell(outcomes: Outcomes, *, is_private: bool) -> None:
    if outcomes.epsilon is not None:
        typer.echo(f"noised counts: epsilon {outcomes.epsilon:g} of each company, apart from training", err=True)
    elif is_private:
        typer.echo("note: these outcomes are not covered by the model's epsilon", err=True)
    if outcomes.small:
        typer.echo(f"not counted, too few rows of a class: {', '.join(outcomes.small)}", err=True)


def _beside(rates: Sequence[RateEffect], named: Mapping[str, RateEffect]) -> list[str]:
    """The chosen rate between a lower and a higher one, so that nobody takes it for granted; then those with a name."""
    if not rates:
        return []
    rows = [(one, "") for one in rates] + [(one, name) for name, one in named.items()]
    lines = [f"{one.rate:<10.4f}{one.mean_pd:<10.4f}{one.moved:<8.1%}{name}".rstrip() for one, name in rows]
    return [f"{'rate':10}{'mean PD':10}grades that move by more than one notch", *lines]


def _pair(word: str) -> tuple[str, str]:
    column, sign, value = word.partition("=")
    if not sign:
        raise ConfigError("--where", found=repr(word[:40]), expected="COLUMN=VALUE, such as seed=0")
    return column, value


def _register(name: str, folder: Path, *, study: str, runs: Path) -> str:
    """The new version's name; logged to the run of the model it was made of, or to a new one for a folder's."""
    from fedcredit.models.bundle import read
    from fedcredit.registry import Registry, has_registry

    registry = Registry(runs)
    if not Path(name).is_dir() and has_registry(runs):
        return str(registry.register(folder, run=registry.find(name).run))
    made = read(folder)
    run = registry.start_study(
        study, config_sha256=made.config_sha256, schema_sha256=made.schema.sha256, git_sha=made.git_sha
    )
    version = registry.register(folder, run=run)
    registry.finish(run)
    return str(version)
