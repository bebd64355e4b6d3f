"""What a table's columns are, said once: the same options for every verb that reads a table of one's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from fedcredit.errors import ConfigError

if TYPE_CHECKING:
    from fedcredit.data.schema import Table


@dataclass(frozen=True)
class TableOptions:
    """The options; the settings `data.table.*` of a study are the same, so that both read a table alike."""

    label: Annotated[str | None, typer.Option(help="Column of the outcome, 0 or 1; a file needs it.")] = None
    company: Annotated[str | None, typer.Option(help="Column of the company id; a file needs it.")] = None
    period: Annotated[str | None, typer.Option(help="Column of the period, for a panel.")] = None
    institution: Annotated[str | None, typer.Option(help="Column of the institution.")] = None
    split: Annotated[str | None, typer.Option(help="Column of train, validation, test.")] = None
    features: Annotated[
        list[str] | None, typer.Option("--feature", help="A feature column, once for each; else every number column.")
    ] = None
    kinds: Annotated[
        Path | None, typer.Option(help="A YAML or JSON file: what a column is, such as {rate: {kind: ratio, ...}}.")
    ] = None
    incumbent: Annotated[str | None, typer.Option(help="Column of the score or PD that is used today.")] = None
    amount: Annotated[str | None, typer.Option(help="Column of the loan amount.")] = None
    size: Annotated[str | None, typer.Option(help="Column of the size class.")] = None
    sector: Annotated[str | None, typer.Option(help="Column of the sector.")] = None
    region: Annotated[str | None, typer.Option(help="Column of the company's region.")] = None
    stratum: Annotated[str | None, typer.Option(help="Column of the stratum, such as the calendar year.")] = None
    definition: Annotated[str, typer.Option(help="The outcome in words, such as '90 days past due'.")] = "unstated"
    encoding: Annotated[str | None, typer.Option(help="Of a CSV; else UTF-8 and GB18030 are told apart.")] = None
    allow_gaps: Annotated[bool, typer.Option("--allow-gaps", help="Pad the missing periods of a company.")] = False

    def refuse_for_a_folder(self, *, but: tuple[str, ...] = ()) -> None:
        """Raw tables have columns of fixed names: an option that names a column would be ignored."""
        for option in fields(self):
            if option.name not in but and getattr(self, option.name) != option.default:
                hint = "sources.map.yaml in the folder says what its columns are; see docs/your-own-sources.md"
                found = f"--{option.name.replace('_', '-')} with a folder"
                raise ConfigError("command line", found=found, expected="a file", hint=hint)

    def read(self, path: Path) -> Table:
        """The file's table, its schema inferred and every cell checked."""
        from fedcredit.data.infer import infer_schema, read_kinds
        from fedcredit.data.tables import read_table

        said = asdict(self)
        for name in ("label", "company"):
            if said[name] is None:
                hint = "a folder of raw tables (tax.csv, power.parquet ...) needs no columns named"
                raise ConfigError(f"--{name}", found="nothing", expected="a column of the file", hint=hint)
        said |= {"features": self.features or None, "kinds": read_kinds(self.kinds) if self.kinds else None}
        said.pop("allow_gaps")
        schema = infer_schema(path, **said)
        return read_table(path, schema, encoding=self.encoding, allow_gaps=self.allow_gaps)


def with_table_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb with an argument `table: TableOptions` one option for each field of it; typer cannot group options.

    >>> @with_table_options
    ... def check(path: Path, table: TableOptions) -> None:
    ...     print(table.label, table.company)
    >>> list(inspect.signature(check).parameters)[:3]
    ['path', 'label', 'company']
    >>> check(path=Path("loans.csv"), label="bad", company="id")
    bad id
    """
    hints = get_type_hints(TableOptions, include_extras=True)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(TableOptions)
    ]
    shown: list[inspect.Parameter] = []
    for own in inspect.signature(verb, eval_str=True).parameters.values():
        shown += options if own.name == "table" else [own.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    @functools.wraps(verb)
    def called(**words: Any) -> None:
        said = {option.name: words.pop(option.name) for option in options if option.name in words}
        verb(**words, table=TableOptions(**said))

    vars(called)["__signature__"] = inspect.Signature(shown)
    return called
