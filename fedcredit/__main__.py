"""The program `fedcredit`: command groups found by entry point, loaded when used."""

from __future__ import annotations

import json
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
import typer.main

from fedcredit.errors import FedCreditError

GROUPS = {
    "data": "check tables and make synthetic ones",
    "node": "join a consortium, run an institution's node under its own policy, see what leaves and what is spent",
    "consortium": "found a consortium, let institutions in and out, run the platform, try all of it with demo",
    "study": "compare alone, federated and pooled on one machine",
    "model": "calibrate, validate, promote and roll back models; scores, grades, reasons and prices",
    "serve": "answer over HTTP: scores and grades, or events into a store",
}


class Program(click.Group):
    """The groups whose extra is installed; `--help` lists them and imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = _found().get(cmd_name)
        return typer.main.get_command(point.load()) if point else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, GROUPS.get(name, "")) for name in self.list_commands(ctx)])


def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="fedcredit.commands") if _is_installed(point)}


def _is_installed(point: EntryPoint) -> bool:
    """Whether the distribution that a group's extra stands for is there, without importing it."""
    from importlib.util import find_spec

    needs = {"research": "lightgbm", "server": "mlflow", "node": "flwr"}
    return all(find_spec(needs[extra]) is not None for extra in point.extras)


def main(args: list[str] | None = None) -> None:
    """Run the program; an error of ours is two lines on stderr, or one object under --json, and an exit code."""
    words = sys.argv[1:] if args is None else args
    program = Program(
        name="fedcredit", help="Federated credit and risk models; every table stays home.", no_args_is_help=True
    )
    try:
        code = program.main(words, standalone_mode=False)
        if isinstance(code, int) and code:  # of a command that did its work and found a fault, such as a check
            sys.exit(code)
    except FedCreditError as fault:
        sys.exit(_say(fault.as_dict(), as_json="--json" in words, code=fault.exit_code))
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.ctx.get_help() if fault.ctx else "", err=True)
        sys.exit(2)
    except click.ClickException as fault:
        said: dict[str, Any] = {"error": "UsageError", "where": "command line", "found": fault.format_message()}
        sys.exit(
            _say({**said, "expected": "", "hint": "add --help", "code": "usage"}, as_json="--json" in words, code=2)
        )
    except OSError as fault:  # a full disk, a folder that may not be written: nothing that a traceback explains
        sys.exit(_say(_of_machine(fault), as_json="--json" in words, code=1))
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(1)
    except Exception:  # a fault of ours; what a library put into its text may be a cell of somebody's table
        click.echo(_masked(traceback.format_exc()), err=True, nl=False)
        sys.exit(1)


def _of_machine(fault: OSError) -> dict[str, Any]:
    return {
        "error": type(fault).__name__,
        "where": str(fault.filename or "this machine"),
        "found": (fault.strerror or str(fault) or type(fault).__name__).lower(),
        "expected": "",
        "hint": "check the path, its permissions and the free space",
        "code": "file",
    }


def _masked(text: str) -> str:
    """The text without codes and names of companies or people; a terminal's lines are copied into tickets."""
    from fedcredit.data.governance.masking import mask_text

    return mask_text(text)


def _say(fault: dict[str, Any], *, as_json: bool, code: int) -> int:
    fault = {key: _masked(str(value)) for key, value in fault.items()}
    if as_json:
        click.echo(json.dumps(fault, ensure_ascii=False))
    else:
        expected = f", expected {fault['expected']}" if fault["expected"] else ""
        click.echo(f"error: {fault['where']}: found {fault['found']}{expected}", err=True)
        if fault["hint"]:
            click.echo(f"hint: {fault['hint']}", err=True)
    return code


if __name__ == "__main__":
    main()
