"""`fedcredit model explain`: each company's grade with its reasons, in Chinese or English, for a viewer's level."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from fedcredit.credit.sentences import Language
    from fedcredit.data.schema import Table
    from fedcredit.explain import Explained

MAX_BYTES = 1 << 20  # of a file of typical values: one number a column


def explain(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or Parquet; the label column is not needed.")],
    company: Annotated[str | None, typer.Option("--company", help="Only this company of the table.")] = None,
    level: Annotated[int, typer.Option("--level", help="JR/T 0197-2020 level that the viewer may see, 1 to 5.")] = 3,
    language: Annotated[Literal["zh", "en"], typer.Option("--lang", help="Language of the sentences.")] = "en",
    typical: Annotated[
        str | None,
        typer.Option(
            "--typical",
            help="What reasons compare with: dictionary, table (medians of these rows), or a JSON or YAML file of "
            "column: value. If not given: dictionary where it has every column, else table.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write JSON lines here, one a company.")] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs whose registry is asked.")] = Path("runs"),
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of a CSV, if it is not found out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say why each company has its grade, and what would change it. Reasons above the viewer's level are not named."""
    import torch

    from fedcredit.credit.score_table import read_to_score
    from fedcredit.explain import explain as explained_of
    from fedcredit.models.bundle import read
    from fedcredit.registry import resolve
    from server.score import THREADS

    torch.set_num_threads(THREADS)
    bundle = read(resolve(name, runs=runs))
    rows = read_to_score(table, bundle.schema, encoding=encoding)
    compared, source = _typical(typical, rows)
    found = explained_of(bundle, rows, typical=compared, company=company, level=level)
    typer.echo(f"{bundle.version}: {len(found.scores)} companies, compared with: {source}", err=True)
    if bundle.scale is None:
        typer.echo("this model is not calibrated to a scale: grades are those of its raw PD", err=True)
    head: dict[str, Any] = {
        "model_version": bundle.version,
        "companies": len(found.scores),
        "is_calibrated": bundle.scale is not None,
        "level": level,
        "language": language,
        "typical": source,
        "typical_pd": found.typical_pd,
        "out": None if out is None else str(out),
    }
    if out is not None:
        _save(found, out, language=language)
    if as_json:
        rest = {} if out is not None else {"explained": list(_dicts(found, language=language))}
        typer.echo(json.dumps(head | rest, ensure_ascii=False, indent=1))
    elif out is not None:
        typer.echo(str(out))
    else:
        for one in _dicts(found, language=language):
            typer.echo(_page(one))


def _typical(said: str | None, rows: Table) -> tuple[Mapping[str, float | str] | None, str]:
    """The values and where they come from, in words that stand beside the reasons."""
    from fedcredit.explain import can_compare, medians

    if said == "dictionary" or (said is None and can_compare(rows.schema)):
        return None, "typical values proposed by the dictionary, not fitted on rows"
    if said in (None, "table"):
        return medians(rows), "medians of the table's own rows"
    return _read_typical(Path(str(said))), f"typical values of {Path(str(said)).name}"


def _read_typical(path: Path) -> dict[str, float | str]:
    import math

    import yaml

    from fedcredit.errors import ConfigError

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        values = yaml.safe_load(content) if len(content) <= MAX_BYTES else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        values = None
    if not isinstance(values, dict):
        hint = "dictionary, table, or a small file with lines like 'debt_ratio: 0.6'"
        raise ConfigError("--typical", found="no readable file of values", expected="column: value", hint=hint)
    for key, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not isinstance(key, str) or not (is_number or isinstance(value, str)):
            expected = "a finite number, or the text of a category"
            raise ConfigError(f"--typical, column {str(key)[:60]!r}", found="another value", expected=expected)
    return values


def _dicts(found: Explained, *, language: Language) -> Iterator[dict[str, Any]]:
    from fedcredit.credit.sentences import as_dict

    scores = json.loads(found.scores.to_json(orient="records", date_format="iso"))
    for row, score in enumerate(scores):
        factors = {name: round(float(found.by_factor[row, k]), 2) for k, name in enumerate(found.factors)}
        yield score | as_dict(found.reasons, row, language=language) | {"factors": factors}


def _page(one: Mapping[str, Any]) -> str:
    period = "" if one["period"] is None else f" {one['period']}"
    lines = [f"{one['company']}{period}: {one['grade']}, PD {100 * one['pd']:.3g} %"]
    lines += [f"  {reason['rank']}. {reason['text']}" for reason in one["reasons"]]
    lines += [f"  + {reason['text']}" for reason in one["strengths"]]
    lines += [f"  {note}" for note in one["notes"]]
    return "\n".join(lines)


def _save(found: Explained, out: Path, *, language: Language) -> None:
    from fedcredit.errors import TableError

    draft = out.with_name(f".{out.name}.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            for one in _dicts(found, language=language):
                file.write(json.dumps(one, ensure_ascii=False) + "\n")
        draft.replace(out)
    except OSError as fault:
        draft.unlink(missing_ok=True)
        raise TableError(str(out), found=fault.strerror or "a fault", expected="a file that can be written") from fault
