"""`fedcredit study`: run, list, show and read studies."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

study = typer.Typer(
    name="study", no_args_is_help=True, help="Compare alone, federated and pooled; here, or at a consortium."
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Hydra overrides: seeds=[0] model=mlp data.length=6 ...")]
RUNS = Path("runs")


@study.command("run")
def run_study(
    name: Annotated[str, typer.Argument(help="A study of configs/experiment/; see `study list`.")],
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print time and epsilon; train nothing on the rows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the study NAME (see `study list`) with Hydra OVERRIDES such as seeds=[0] model=mlp.

    Ctrl-C leaves checkpoints that `resume=latest` continues.
    """
    from experiments.judgement import summary
    from experiments.study import dry_run as forecast
    from experiments.study import load, run

    settings = load(name, overrides or [])
    if dry_run:
        found = forecast(settings)
        typer.echo(json.dumps(found.as_dict()) if as_json else str(found))
        return
    report = run(settings)
    typer.echo(json.dumps(report.data, ensure_ascii=False) if as_json else summary(report))


@study.command("resume")
def resume_study(
    folder: Annotated[Path, typer.Argument(help="The run folder, for example runs/quickstart/20260101T000000Z.")],
    as_json: Json = False,
) -> None:
    """Go on with the cut run in FOLDER, such as runs/quickstart/latest, with the settings it was started with."""
    from dataclasses import replace

    from experiments.folder import read_settings
    from experiments.judgement import summary
    from experiments.study import run

    report = run(replace(read_settings(folder), resume=str(folder)))
    typer.echo(json.dumps(report.data, ensure_ascii=False) if as_json else summary(report))


@study.command("list")
def list_studies(runs: Runs = RUNS, as_json: Json = False) -> None:
    """List the studies that can be run and the runs that there are."""
    from fedcredit.config import CONFIGS

    found = {
        path.stem: [run.name for run in sorted((runs / path.stem).glob("*Z"))]
        for path in sorted((CONFIGS / "experiment").glob("*.yaml"))
    }
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, times in found.items():
        typer.echo(f"{name:24} {len(times)} runs" + (f", last {times[-1]}" if times else ""))


@study.command("show")
def show_study(
    name: Annotated[str, typer.Argument(help="A study's name, or a run folder.")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Show every setting of the study NAME, or the report of the run folder NAME."""
    import yaml

    if "/" in name:
        from experiments.judgement import summary
        from fedcredit.evaluation.report import Report

        report = Report.read(Path(name))
        typer.echo(json.dumps(report.data, ensure_ascii=False) if as_json else summary(report))
        return
    from fedcredit.config import load

    plain = json.loads(json.dumps(asdict(load(name, overrides or []))))
    typer.echo(json.dumps(plain) if as_json else yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


@study.command("compare")
def compare_runs(first: Path, second: Path, as_json: Json = False) -> None:
    """Headline figures of two runs side by side; rows that only one of them has are left empty."""
    from fedcredit.evaluation.report import Report

    left, right = (_headlines(Report.read(path).data) for path in (first, second))
    table = [{"figure": key, "first": left.get(key), "second": right.get(key)} for key in {**left, **right}]
    if as_json:
        typer.echo(json.dumps(table, ensure_ascii=False))
        return
    for row in table:
        typer.echo(f"{row['figure']:60} {row['first'] or '-':>24} {row['second'] or '-':>24}")


@study.command("gain")
def show_gain(
    folder: Annotated[Path, typer.Argument(help="A run folder, for example runs/quickstart/latest.")],
    institution: Annotated[str | None, typer.Option(help="One institution; all where left out.")] = None,
    average_loan: Annotated[float | None, typer.Option(help="Another average loan than the run's.")] = None,
    lgd: Annotated[float | None, typer.Option(help="Another loss given default, 0..1.")] = None,
    approval_rate: Annotated[float | None, typer.Option(help="Another approval rate, 0..1.")] = None,
    as_json: Json = False,
) -> None:
    """What an institution gains by joining, recomputed from the predictions of the run in FOLDER."""
    from experiments.judgement import replay_gain
    from fedcredit.evaluation.gain_text import gain_text

    found = replay_gain(
        folder, institution=institution, average_loan=average_loan, lgd=lgd, approval_rate=approval_rate
    )
    if as_json:
        typer.echo(json.dumps([gain.as_dict() for gain in found], ensure_ascii=False))
        return
    typer.echo(gain_text(found))


@study.command("audit")
def audit_run(
    folder: Annotated[Path, typer.Argument(help="A finished run's folder, for example runs/quickstart/latest.")],
    institution: Annotated[str | None, typer.Option(help="Whose training; the smallest where left out.")] = None,
    canaries: Annotated[int, typer.Option(help="Made-up companies planted.", min=100, max=20_000)] = 4000,
    shadows: Annotated[int, typer.Option(help="Shadow models.", min=8, max=64)] = 16,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the time; train nothing on the rows.")] = False,
    as_json: Json = False,
) -> None:
    """Attack the private training of the run in FOLDER and print what it certainly leaks beside what it claims.

    Exit code 1 where the claim is contradicted or a check fails, 3 on a run on your own table.
    """
    from experiments.audit import audit, estimate_seconds, write
    from experiments.audit_subject import read_subject
    from experiments.audit_text import audit_text
    from experiments.story import Story

    subject = read_subject(folder, institution=institution)
    if dry_run:
        minutes = round(estimate_seconds(subject, canaries=canaries, shadows=shadows) / 60 + 0.05, 1)
        forecast = {"minutes": minutes, "epsilon": None, "institution": subject.institution}
        said = f"about {minutes} minutes at {subject.institution}; public or synthetic data: nothing is charged"
        typer.echo(json.dumps(forecast, ensure_ascii=False) if as_json else said)
        return
    with Story(None, total=shadows + 3, title="audit") as story:
        found = audit(
            subject,
            canaries=canaries,
            shadows=shadows,
            on_step=lambda what, seconds: story.finished(what, seconds=seconds),
        )
    write(found, folder)
    typer.echo(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else audit_text(found))
    if found.is_contradicted:
        sys.exit(1)


@study.command("status")
def show_status(folder: Annotated[Path, typer.Argument(help="A run folder.")], as_json: Json = False) -> None:
    """How far the run in FOLDER is; `latest` is the newest run, also one that is under way."""
    status = _read_status(_newest(folder))
    done = f", {status['done']} of {status['units']} models" if "done" in status else ""
    round_ = f", round {status['round']} of {status['rounds']}" if "round" in status else ""
    typer.echo(json.dumps(status) if as_json else f"{status['state']}{done}{round_}, {status['updated']}")


@study.command("stop")
def stop_study(folder: Annotated[Path, typer.Argument(help="A run folder.")], as_json: Json = False) -> None:
    """Ask the study that runs in FOLDER to stop; its checkpoints stay. `latest` is the newest run.

    Of a run at a consortium whose own process is gone, what goes on there is stopped.
    """
    from fedcredit.errors import RunError

    folder = _newest(folder)
    status = _read_status(folder)
    if status["state"] != "running":
        raise RunError(str(folder), found=f"a run that is {status['state']}", expected="a running one")
    try:
        pid = int(status["pid"])
        told = Path(f"/proc/{pid}/cmdline")  # a number may have gone to another process since
        if pid > 1 and (not told.exists() or b"stud" in told.read_bytes() or b"experiments" in told.read_bytes()):
            os.kill(pid, signal.SIGTERM)
            typer.echo(json.dumps({"asked_to_stop": pid}) if as_json else f"asked process {pid} to stop")
            return
    except (ProcessLookupError, ValueError):
        pass  # said below
    if stopped := _stop_there(folder):
        typer.echo(json.dumps({"stopped_runs": stopped}) if as_json else f"stopped at the consortium: {stopped}")
        return
    hint = f"fedcredit study resume {folder} goes on with it"
    raise RunError(str(folder), found="no such process any more", expected="a running study", hint=hint)


@study.command("logs")
def show_logs(folder: Annotated[Path, typer.Argument(help="A run folder.")], as_json: Json = False) -> None:
    """Print the log of the run in FOLDER; `latest` is the newest run."""
    from fedcredit.errors import RunError

    path = _newest(folder) / "log.txt"
    if not path.exists():
        raise RunError(str(path), found="no log", expected="a run folder")
    text = path.read_text(encoding="utf-8")
    typer.echo(json.dumps(text.splitlines(), ensure_ascii=False) if as_json else text, nl=as_json)


@study.command("new")
def new_study(
    name: Annotated[str, typer.Argument(help="Name of the new study: letters, digits, _.")],
    base: Annotated[str, typer.Option(help="The study to start from.")] = "quickstart",
    as_json: Json = False,
) -> None:
    """Start a study of your own: configs/experiment/NAME.yaml from another's."""
    from fedcredit.config import CONFIGS
    from fedcredit.errors import ConfigError

    target, source = CONFIGS / "experiment" / f"{name}.yaml", CONFIGS / "experiment" / f"{base}.yaml"
    if not name.isidentifier() or target.exists() or not source.exists():
        raise ConfigError("study new", found=f"{name!r} from {base!r}", expected="a new name and a study that exists")
    text = (
        source.read_text().replace(f"study run {base}", f"study run {name}").replace(f"study: {base}", f"study: {name}")
    )
    target.write_text(text)
    typer.echo(json.dumps({"study": name, "file": str(target)}) if as_json else str(target))


@study.command("ui")
def open_ui(runs: Runs = RUNS, port: int = 5000) -> None:
    """Serve MLflow's pages for the runs folder on this machine."""
    import subprocess

    from fedcredit.registry import tracking_uri

    serve = ["mlflow", "ui", "--backend-store-uri", tracking_uri(runs), "--host", "127.0.0.1", "--port", str(port)]
    sys.exit(subprocess.run([sys.executable, "-m", *serve], check=False).returncode)


def _newest(folder: Path) -> Path:
    """The folder; runs/<study>/latest, which points at the last run that succeeded, is the newest one instead."""
    runs = sorted(folder.parent.glob("*Z")) if folder.name == "latest" else []
    return runs[-1] if runs else folder


def _stop_there(folder: Path) -> list[int]:
    """Stop what of this run is at work at a consortium."""
    from experiments.folder import read_settings

    settings = read_settings(folder)
    if settings.federation.engine != "superlink":
        return []
    from server.consortium.operator import profile
    from server.remote import stop_at_consortium

    units = [path.name for path in sorted((folder / "units").glob("*")) if path.is_dir()]
    folders = [f"{settings.study}/{folder.name}/{name}" for name in units]
    return stop_at_consortium(profile(settings.federation.consortium), folders)


def _headlines(report: dict[str, Any]) -> dict[str, str]:
    return {
        " ".join(str(c[k]) for k in ("name", "institution", "split", "method", "epsilon") if c.get(k) is not None): (
            f"{c['point']:.3f} [{c['low']:.3f}, {c['high']:.3f}]"
        )
        for c in report["comparisons"]
        if c.get("headline") and c["point"] is not None
    }


def _read_status(folder: Path) -> dict[str, Any]:
    from fedcredit.errors import RunError

    try:
        status: dict[str, Any] = json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        raise RunError(str(folder), found="no status.json", expected="a run folder") from None
    return status
