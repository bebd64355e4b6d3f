"""`fedcredit model approve|promote|challenge|shadow|rollback|diff|history`: who is champion, and by whose word."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.consortium_output import now, said
from server.promotion_output import columns, moved_aliases, on_one_line, show_champion, tell_verdicts

if TYPE_CHECKING:
    from server.promotion.desk import Desk
    from server.promotion.standby import Role

Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs; desks are in its models/.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Word = Annotated[
    str, typer.Argument(metavar="VERSION", help="models:/NAME/3, 3, an alias, the start of a digest, or a folder.")
]
Model = Annotated[str | None, typer.Option("--model", help="The model, where VERSION does not name it.")]
KeyFile = Annotated[Path, typer.Option("--key", help="Key file of the person who signs; mode 0600.")]
RUNS = Path("runs")

promotion = typer.Typer()


@promotion.command("approve")
def approve_version(
    version: Word,
    key: KeyFile,
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="The approval holds so long.")] = 7,
    model: Model = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Sign a version's promotion over the champion in force: two different approvers have to."""
    from fedcredit.models.bundle import read
    from fedcredit.trust.keys import Identity
    from server.promotion.approvals import approval_path, approve
    from server.promotion.promote import tried
    from server.promotion.subject import subject

    person = Identity.load(key)
    one = subject(version, runs=runs, model=model)
    read(one.desk.bundle(one.sha256))  # whoever signs signs what can score
    signed = approve(one.desk, one.sha256, by=person, now=now(), days=days)
    tell_verdicts(tried(one.desk, one.sha256, now=now()))
    if signed.was_renewed:
        typer.echo("what was signed before no longer holds, so the approval starts anew", err=True)
    facts = {
        "model": one.desk.name,
        "version": signed.approval.version,
        "bundle_sha256": one.sha256,
        "signed_by": list(signed.by),
        "needed": signed.needed,
        "expires": signed.approval.expires,
        "approval": str(approval_path(one.desk, one.sha256)),
    }
    more = f"{signed.needed} more needed" if signed.needed else f"enough until {signed.approval.expires}"
    which = f"{one.desk.name} version {signed.approval.version} ({one.sha256[:12]})"
    line = f"{which}: signed by {', '.join(signed.by)}; {more}"
    said(facts, [line], as_json=as_json)


@promotion.command("promote")
def promote_version(
    version: Word,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what the gates say; change nothing.")] = False,
    model: Model = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Make an approved version the champion, if every gate lets it pass; a refusal names gate, value and limit."""
    from server.promotion.promote import promote, tried
    from server.promotion.subject import subject

    began = time.monotonic()
    one = subject(version, runs=runs, model=model)
    if dry_run:
        trial = tried(one.desk, one.sha256, now=now())
        tell_verdicts(trial)
        if trial.refusal is not None:
            raise trial.refusal
        facts = {
            "model": one.desk.name,
            "bundle_sha256": one.sha256,
            "dry_run": True,
            "gates": [dict(vars(verdict)) for verdict in trial.verdicts],
        }
        said(facts, [f"would promote {one.desk.name} version {one.desk.version(one.sha256)}"], as_json=as_json)
        return
    champion = promote(one.desk, one.sha256, now=now())
    show_champion(one.desk, champion, began=began, runs=runs, as_json=as_json)


@promotion.command("rollback")
def rollback_model(
    model: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The model; else the only one.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Goes on record.")] = "",
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Make the champion before this one the champion again, at once; a second time the one before that."""
    from server.promotion.rollback import rollback

    began = time.monotonic()
    desk = _desk(model, runs)
    champion = rollback(desk, reason=reason, by=getpass.getuser())
    show_champion(desk, champion, began=began, runs=runs, as_json=as_json)


@promotion.command("renew")
def renew_champion(
    model: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The model; else the only one.")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Put a fresh approval beside the champion in force, so that nodes go back to it after a rollback.

    Two people sign it first with `approve`; `publish` then sends it. Who is champion does not change.
    """
    from server.promotion.renew import renew

    desk = _desk(model, runs)
    champion = renew(desk, now=now())
    line = f"{desk.name}: version {champion.version} approved anew; fedcredit model publish sends it to the nodes"
    said({"model": desk.name, **champion.as_dict()}, [line], as_json=as_json)


@promotion.command("challenge")
def challenge_with(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="As of promote.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Nobody from now on.")] = False,
    model: Model = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Let a version score beside the champion as its challenger; it decides nothing."""
    _stand_by("challenger", version, none=none, model=model, runs=runs, as_json=as_json)


@promotion.command("shadow")
def shadow_with(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="As of promote.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Nobody from now on.")] = False,
    model: Model = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Let a version score in the dark; its scores are kept apart and shown to nobody who asks for one."""
    _stand_by("shadow", version, none=none, model=model, runs=runs, as_json=as_json)


@promotion.command("diff")
def diff_versions(
    a: Annotated[str, typer.Argument(metavar="A", help="As VERSION of promote.")],
    b: Annotated[str, typer.Argument(metavar="B", help="As VERSION of promote.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is equal.")] = False,
    model: Model = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Show what differs between two versions: card, weights, calibration, epsilon, and the figures of validation."""
    from fedcredit.errors import ConfigError
    from server.promotion.differences import differences, shown
    from server.promotion.subject import subject

    left, right = (subject(word, runs=runs, model=model) for word in (a, b))
    if left.desk.name != right.desk.name:
        raise ConfigError("B", found=f"a version of {right.desk.name}", expected=f"one of {left.desk.name}")
    found = [one for one in differences(left.desk, left.sha256, right.sha256) if everything or not one.is_equal]
    facts = {"model": left.desk.name, "differences": [{"what": one.what, "a": one.a, "b": one.b} for one in found]}
    said(facts, columns([(one.what, shown(one.a), shown(one.b)) for one in found]) or ["equal"], as_json=as_json)


@promotion.command("history")
def show_history(
    model: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The model; else the only one.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the signature of every line.")] = False,
    last: Annotated[int | None, typer.Option("--last", min=1, help="Only so many, the newest.")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Show what was promoted, refused and rolled back, by whom and when; an edited history is refused."""
    desk = _desk(model, runs)
    entries = list(desk.history(is_each=verify))
    if verify:
        typer.echo(f"{len(entries)} lines verified, each by its signature", err=True)
    shown = entries[-last:] if last else entries
    rows = [{"seq": one.seq, "time": one.time, "event": one.event, **one.facts} for one in shown]
    lines = columns([(str(one.seq), one.time[:19], one.event, on_one_line(one.facts)) for one in shown])
    said({"model": desk.name, "verified": verify, "entries": rows}, lines, as_json=as_json)


def _stand_by(role: Role, version: str | None, *, none: bool, model: str | None, runs: Path, as_json: bool) -> None:
    from fedcredit.errors import ConfigError
    from server.promotion.standby import stand_by
    from server.promotion.subject import subject

    if (version is None) != none:
        raise ConfigError("VERSION", found="both or neither", expected="a version, or --none")
    if version is None:
        desk, sha256 = _desk(model, runs), None
    else:
        one = subject(version, runs=runs, model=model)
        desk, sha256 = one.desk, one.sha256
    held = stand_by(desk, role, sha256, by=getpass.getuser())
    typer.echo(f"{desk.name}: {role} is {f'version {held.version}' if held else 'nobody'}", err=True)
    facts = {"model": desk.name, role: held.as_dict() if held else None, "aliases": moved_aliases(desk, runs)}
    said(facts, [f"{role} {held.version if held else '-'}"], as_json=as_json)


def _desk(model: str | None, runs: Path) -> Desk:
    from server.promotion.subject import desk_of, only_desk

    return desk_of(model, runs=runs) if model else only_desk(runs)
