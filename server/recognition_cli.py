"""`fedcredit model mapping`: two regions recognise each other's grades, in a file that both sign."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedcredit.credit.mapping import BilateralMapping
    from fedcredit.credit.recognition import OwnScale

mapping = typer.Typer(no_args_is_help=True, help="Recognise another region's grades by a mapping that both sign.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Signer = Annotated[list[str], typer.Option("--signer", help="REGION=FILE.pub, the key of each region; give it twice.")]
Key = Annotated[Path | None, typer.Option("--key", help="Sign with this region's key file.")]
MAX_BYTES = 1 << 20


@mapping.command("make")
def make(
    counts: Annotated[list[Path], typer.Argument(metavar="COUNTS...", help="A file for each scale, as JSON.")],
    out: Annotated[Path, typer.Option("--out", help="The mapping, to be signed by both.")],
    days: Annotated[int, typer.Option("--days", min=1, help="How long it is valid.")] = 365,
    valid_from: Annotated[str | None, typer.Option("--from", help="First valid day; else today.")] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Map two regions' grades to the master scale.

    A file of counts is {"region", "grades": [...], "companies": [...], "bad": [...] or null, "among"}, the safest grade
    first; "among" names the other region where its companies were counted. A scale with fewer than 20 defaults is
    mapped by rank against the first that has them, which supposes that its companies are as risky as those.
    """
    from fedcredit.credit.mapping import BilateralMapping, seal_mapping
    from fedcredit.credit.recognition import LEAST_DEFAULTS, recognise
    from fedcredit.trust.files import write_whole
    from fedcredit.trust.keys import Identity

    scales = [_scale(path) for path in counts]
    known = [recognise(one) if one.defaults >= LEAST_DEFAULTS else None for one in scales]
    reference = next((table for table in known if table is not None), None)
    tables = [table or recognise(one, reference=reference) for table, one in zip(known, scales, strict=True)]
    begin = _day(valid_from)
    made = BilateralMapping(tuple(tables), begin, begin + timedelta(days=days))
    write_whole(out, seal_mapping(made, by=[Identity.load(key)] if key else []), mode=0o644)
    _print(made, as_json=as_json)


@mapping.command("sign")
def sign(
    file: Annotated[Path, typer.Argument(help="A mapping.")],
    key: Annotated[Path, typer.Option("--key", help="This region's key file.")],
    as_json: Json = False,
) -> None:
    """Add a region's signature. Look at the tables first: `fedcredit model mapping show`."""
    from fedcredit.credit.mapping import KIND
    from fedcredit.trust.envelope import add_signature
    from fedcredit.trust.files import write_whole
    from fedcredit.trust.keys import Identity

    who = Identity.load(key)
    write_whole(file, add_signature(_bytes(file), kind=KIND, by=who), mode=0o644)
    said = {"file": str(file), "signed_by": who.public.fingerprint}
    typer.echo(json.dumps(said) if as_json else f"{file} signed by {who.public.fingerprint[:16]}")


@mapping.command("show")
def show(file: Annotated[Path, typer.Argument(help="A mapping.")], signer: Signer, as_json: Json = False) -> None:
    """Show a mapping once both regions' signatures hold."""
    _print(_opened(file, signer), as_json=as_json)


@mapping.command("rate")
def rate(
    file: Annotated[Path, typer.Argument(help="A mapping.")],
    region: Annotated[str, typer.Option("--region", help="Whose grade it is.")],
    grade: Annotated[str, typer.Option("--grade", help="The region's own grade.")],
    signer: Signer,
    among: Annotated[str | None, typer.Option("--among", help="For a company of this region; else its own.")] = None,
    today: Annotated[str | None, typer.Option("--today", help="As of this day; else today.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a region's own grade is worth on the master scale today."""
    row = _opened(file, signer).row(region, grade, today=_day(today), among=among)
    facts = {name: getattr(row, name) for name in type(row).__dataclass_fields__}
    typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else f"{row.master}  PD {row.pd:.2%}")


def _opened(file: Path, signer: list[str]) -> BilateralMapping:
    from fedcredit.credit.mapping import open_mapping
    from fedcredit.errors import ConfigError
    from server.consortium.officers import read_public

    pairs = [text.partition("=") for text in signer]
    if len({name for name, _, _ in pairs}) != 2 or not all(path for _, _, path in pairs):
        raise ConfigError("--signer", found=f"{len(pairs)} of them", expected="REGION=FILE.pub for each of two regions")
    return open_mapping(_bytes(file), signers={name: read_public(Path(path)) for name, _, path in pairs})


def _scale(path: Path) -> OwnScale:
    from fedcredit.credit.recognition import OwnScale
    from fedcredit.errors import ConfigError
    from fedcredit.strict import build

    try:
        raw = json.loads(_bytes(path))
    except (ValueError, RecursionError):
        raise ConfigError(str(path), found="what is no JSON", expected="counts of a region's scale") from None
    return build(OwnScale, raw, where=path.name)


def _bytes(path: Path) -> bytes:
    from fedcredit.errors import ConfigError

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        raise ConfigError(str(path), found="a file that cannot be read", expected="a file") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(str(path), found="an oversize file", expected=f"at most {MAX_BYTES:,} bytes")
    return data


def _day(text: str | None) -> date:
    from fedcredit.errors import ConfigError

    try:
        return date.fromisoformat(text) if text else datetime.now(UTC).date()
    except ValueError:
        raise ConfigError("day", found=repr(text), expected="a day as 2026-11-24") from None


def _print(made: BilateralMapping, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(made.body(), ensure_ascii=False))
        return
    typer.echo(f"valid from {made.valid_from} until before {made.expires}")
    for table in made.tables:
        typer.echo(f"{table.region} among companies of {table.among}, by {table.method}")
        for row in table.rows:
            typer.echo("  " + "  ".join(_cells(row)))


def _cells(row: Any) -> list[str]:
    known = f"{row.bad} of {row.companies} defaulted" if row.bad is not None else f"{row.companies} companies"
    return [f"{row.own:>8}", f"{row.master:>4}", f"PD {row.pd:6.2%}", known]
