"""The program's own help becomes docs/commands.md: `python docs/commands.py`, and a test that it is up to date."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import click
import typer.main

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

One program, `fedcredit`, with a group for each concern. Results go to stdout, the story to stderr. Exit codes: 0 done,
1 error, 2 usage, 3 refused by a policy, gate or budget. An error is two lines, or one JSON object under `--json`.

This page is made of the program's own help by `python docs/commands.py`; do not edit it.
"""


def render() -> str:
    """The page, from the groups that are installed."""
    parts = [HEAD]
    for point in sorted(entry_points(group="fedcredit.commands"), key=lambda point: point.name):
        group = typer.main.get_command(point.load())
        assert isinstance(group, click.Group)  # noqa: S101 - every group of ours has verbs
        parts.append(f"## fedcredit {point.name}\n\n{_sentence(group)}\n")
        parts += [text for name, verb in group.commands.items() for text in _verbs(f"{point.name} {name}", verb)]
    return "\n".join(parts)


def _verbs(name: str, verb: click.Command) -> list[str]:
    """The verb, and where it has verbs of its own, those after it."""
    own = verb.commands.items() if isinstance(verb, click.Group) else ()
    return [_verb(name, verb), *(text for more, inner in own for text in _verbs(f"{name} {more}", inner))]


def _verb(name: str, verb: click.Command) -> str:
    path = f"fedcredit {name}"
    context = click.Context(verb, info_name=path)
    usage = " ".join([path, *verb.collect_usage_pieces(context)])
    rows = [_row(parameter, context) for parameter in verb.params if parameter.name != "help"]
    table = "".join(f"| {left} | {right} |\n" for left, right in rows)
    return f"### {path}\n\n    {usage}\n\n{_sentence(verb)}\n\n" + (f"| | |\n|---|---|\n{table}" if rows else "")


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str]:
    said = " ".join((getattr(parameter, "help", None) or "").split())
    if isinstance(parameter, click.Option):
        kind = "" if parameter.is_flag else f" {parameter.type.name.upper()}"
        default = parameter.get_default(context)
        shown = f" [{default}]" if default is not None and not parameter.is_flag else ""
        shown += " [required]" if parameter.required else ""
        return f"`{', '.join(parameter.opts)}{kind}`", f"{said}{shown}".strip()
    return f"`{parameter.make_metavar(context)}`", said


def _sentence(command: click.Command) -> str:
    return " ".join((command.help or "").split())


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
