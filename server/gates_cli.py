"""`fedcredit model gates`: what a version must show before it becomes champion, signed by those who may approve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.consortium_output import opened, said

if TYPE_CHECKING:
    from fedcredit.trust.keys import Identity, PublicIdentity
    from server.promotion.desk import Desk
    from server.promotion.gates import Gates

gates = typer.Typer(name="gates", no_args_is_help=True, help="Show, set and sign a model's gates of promotion.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Registered model, such as fedcredit-quickstart.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs; desks are in its models/.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
KeyFiles = Annotated[list[Path], typer.Option("--key", help="Key file of an approver who signs; may be repeated.")]
Approvers = Annotated[
    list[str] | None,
    typer.Option("--approver", help="NAME=FILE.pub; NAME alone makes a key in the desk's keys/. May be repeated."),
]
GatesFile = Annotated[Path | None, typer.Option("--gates", help="YAML list of gates; else those in force or shipped.")]
Threshold = Annotated[int | None, typer.Option("--threshold", min=2, help="So many different approvers have to sign.")]
RUNS = Path("runs")


@gates.command("init")
def init_gates(
    name: Name,
    approver: Approvers = None,
    key: Annotated[list[Path] | None, typer.Option("--key", help="Key file of an approver who signs.")] = None,
    file: GatesFile = None,
    threshold: Threshold = None,
    consortium: Annotated[
        Path | None, typer.Option("--consortium", help="Its folder: the officers of its manifest are approvers.")
    ] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Found a model's desk: its gates and approvers. They hold once enough approvers have signed.

    In a consortium approvers are its officers: nodes take a champion only with two officers' signatures.
    """
    from server.promotion.desk import DeskRefused
    from server.promotion.gates import LEAST_SIGNATURES, Gates, read_gates
    from server.promotion.subject import desk_of

    desk = desk_of(name, runs=runs)
    if desk.is_founded:
        hint = "fedcredit model gates set changes them"
        raise DeskRefused(desk.name, found="gates in force", expected="a desk that was not founded", hint=hint)
    people = _named(desk, approver or [])
    if consortium is not None:
        people |= opened(consortium).current().officers
    made = Gates(desk.name, read_gates(file) if file else read_gates(), people, threshold or LEAST_SIGNATURES)
    _sign(desk, made, _loaded(key) if key else _here(desk, people), as_json=as_json)


@gates.command("set")
def set_gates(
    name: Name,
    key: KeyFiles,
    file: GatesFile = None,
    approver: Approvers = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="An approver who is none from now on.")] = None,
    threshold: Threshold = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Change gates or approvers: those in force and those to come have to sign, each to their threshold."""
    from fedcredit.errors import ConfigError
    from server.promotion.gates import Gates, read_gates
    from server.promotion.subject import desk_of

    desk = desk_of(name, runs=runs)
    current = desk.gates()
    unknown = [one for one in remove or [] if one not in current.approvers]
    if unknown:
        raise ConfigError("--remove", found=", ".join(unknown), expected=f"some of {', '.join(current.approvers)}")
    people = {one: identity for one, identity in current.approvers.items() if one not in (remove or [])}
    people |= _named(desk, approver or [])
    listed = read_gates(file) if file else current.gates
    made = Gates(desk.name, listed, people, threshold or current.threshold, after=current.sha256)
    _sign(desk, made, _loaded(key), as_json=as_json)


@gates.command("sign")
def sign_gates(name: Name, key: KeyFiles, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Sign the gates that wait for signatures; with enough of them they hold."""
    from fedcredit.errors import ConfigError
    from server.promotion.gates_file import DRAFT, gates_in, read_sealed
    from server.promotion.subject import desk_of

    desk = desk_of(name, runs=runs)
    desk.mend()  # gates that a crash left under the draft's name wait for nobody
    data = read_sealed(desk.folder / DRAFT)
    if data is None:
        hint = "fedcredit model gates set makes a draft"
        raise ConfigError(DRAFT, found="no gates that wait for signatures", expected="a draft", hint=hint)
    made = gates_in(data)
    for line in _lines(made):
        typer.echo(line, err=True)
    _sign(desk, made, _loaded(key), as_json=as_json)


@gates.command("show")
def show_gates(name: Name, runs: Runs = RUNS, as_json: Json = False) -> None:
    """Show the gates in force, who may approve, and what waits for signatures."""
    from server.promotion.gates_file import DRAFT, gates_in, missing, read_sealed
    from server.promotion.subject import desk_of

    desk = desk_of(name, runs=runs)
    waiting = read_sealed(desk.folder / DRAFT)
    current = desk.gates() if desk.is_founded or waiting is None else None
    facts: dict[str, object] = {"model": desk.name, "in_force": _facts(current) if current else None}
    lines = _lines(current) if current else ["no gates in force yet"]
    if waiting is not None and (current is None or gates_in(waiting).sha256 != current.sha256):
        needed = missing(waiting, current=current)
        facts["waiting"] = {**_facts(gates_in(waiting)), "needed": {group: n for group, (n, _) in needed.items()}}
        lines += ["", "waiting for signatures:", *_lines(gates_in(waiting)), *_needed(needed)]
    said(facts, lines, as_json=as_json)


def _sign(desk: Desk, made: Gates, people: Sequence[Identity], *, as_json: bool) -> None:
    from fedcredit.trust.files import write_whole
    from server.promotion.approvals import ApprovalRefused
    from server.promotion.gates_file import DRAFT, draft_with, missing, sealed_gates

    with desk.locked():
        if desk.is_founded:
            desk.mend_held()
        current = desk.gates() if desk.is_founded else None
        for person in people:
            if not any(one.person(person.public.fingerprint) for one in (made, current) if one):
                found = f"{person.public.fingerprint[:16]}, the key of no approver"
                raise ApprovalRefused("--key", found=found, expected=f"that of {', '.join(made.approvers)}")
        data = draft_with(desk.folder, sealed_gates(made, by=people))
        needed = missing(data, current=current)
        if needed:
            write_whole(desk.folder / DRAFT, data)
        else:
            desk.put_in_force(data)
            desk.mend_held()
    lines = _needed(needed) or [f"gates of {desk.name} in force, {len(made.gates)} of them, sha256 {made.sha256[:12]}"]
    facts = {**_facts(made), "in_force": not needed, "needed": {group: n for group, (n, _) in needed.items()}}
    said(facts, lines, as_json=as_json)


def _named(desk: Desk, said_by: Sequence[str]) -> dict[str, PublicIdentity]:
    from server.consortium.officers import named

    return named(said_by, folder=desk.folder / "keys")


def _loaded(paths: Sequence[Path]) -> list[Identity]:
    from fedcredit.trust.keys import Identity

    return [Identity.load(path) for path in paths]


def _here(desk: Desk, people: dict[str, PublicIdentity]) -> list[Identity]:
    """Keys in the desk's own folder, made for people without a file: they sign, as their owners are at this machine."""
    from server.consortium.officers import keys

    return keys(desk.folder / "keys", said=(), may_sign=people.values())


def _facts(made: Gates) -> dict[str, object]:
    approvers = {name: one.fingerprint for name, one in made.approvers.items()}
    return {
        "sha256": made.sha256,
        "gates": [gate.as_dict() for gate in made.gates],
        "approvers": approvers,
        "threshold": made.threshold,
    }


def _lines(made: Gates) -> list[str]:
    from server.promotion.gates import LIMITS

    rows = []
    for gate in made.gates:
        ((kind, limit),) = gate.limits.items()
        part = "" if gate.part == "value" else f" ({gate.part})"
        said_limit = f"{limit:g}" if isinstance(limit, float) else str(limit)
        rows.append(f"{gate.name:32} {gate.figure + part:28} {LIMITS[kind]} {said_limit:15} missing: {gate.missing}")
    people = ", ".join(f"{name} {one.fingerprint[:16]}" for name, one in made.approvers.items())
    return [*rows, f"{made.threshold} of: {people}"]


def _needed(needed: dict[str, tuple[int, list[str]]]) -> list[str]:
    return [f"{number} more of the {group}: {', '.join(names)}" for group, (number, names) in needed.items()]
