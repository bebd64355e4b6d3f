"""`fedcredit consortium`: found a consortium, let institutions and operators in and out, and keep its keys fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.backup_cli import backup, restore
from server.consortium_output import Home, Json, Keys, Rehearsal, now, opened, said, shown
from server.operator_cli import operator
from server.rotate_cli import rotate
from server.start_cli import demo, start, status, stop
from server.study_rule_cli import study

consortium = typer.Typer(
    name="consortium", no_args_is_help=True, help="Found a consortium, let institutions in and out, keep its keys."
)
consortium.add_typer(rotate)
consortium.add_typer(study)
consortium.add_typer(operator)
for command in (start, stop, status, demo, backup, restore):
    consortium.command(command.__name__)(command)


@consortium.command("init")
def init(
    name: str,
    gateway: Annotated[str, typer.Option(help="HOST:PORT at which members reach the gateway.")],
    officers: Annotated[
        str, typer.Option(help="Who signs: a,b,c makes their keys here; b=FILE.pub takes a key made elsewhere.")
    ],
    threshold: Annotated[int, typer.Option(help="How many of them it takes.")],
    home: Home = None,
    require_pq: Annotated[
        bool, typer.Option(help="Refuse a link without the post-quantum group X25519MLKEM768.")
    ] = True,
    manifest_days: Annotated[int, typer.Option(help="Days until nodes stop without a new manifest.")] = 90,
    as_json: Json = False,
) -> None:
    """Make a consortium: its X.509 authority, its officers' keys, and the first manifest, signed by the keys here."""
    from server.consortium.home import Consortium
    from server.consortium.settings import Settings, default_folder
    from server.running import prepare_servers

    settings = Settings(name, gateway, require_pq=require_pq, manifest_days=manifest_days)
    who = [word for word in officers.split(",") if word.strip()]
    made, outcome = Consortium.create(home or default_folder(), settings, by=who, threshold=threshold, now=now())
    prepare_servers(made)  # while the authority's key is here
    typer.echo(f"{made.places.officers}: hand each key to its officer, and take it away from here", err=True)
    shown(made, outcome, as_json=as_json, more={"home": str(made.places.folder)})


@consortium.command("approve")
def approve(
    requests: Annotated[list[Path], typer.Argument(metavar="X.fcreq...", help="One request or several.")],
    officer: Keys = None,
    out: Annotated[Path | None, typer.Option("--out", help="The answer; a folder for several. Else X.fcjoin.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="What the institution read to you on the telephone; refused if it differs.")
    ] = None,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Let institutions in: check the requests, issue certificates, sign the next manifest, write an answer for each.

    Where more officers have to sign, each of them runs the same command; the last one gets the answers.
    """
    from server.approve_cli import approve_requests

    approve_requests(
        requests, officer=officer, out=out, fingerprint=fingerprint, home=home, dry_run=dry_run, as_json=as_json
    )


@consortium.command("members")
def members(home: Home = None, as_json: Json = False) -> None:
    """List who is in, the officers, the studies that are allowed, and the fingerprint to be read on the telephone."""
    from server.consortium.summary import summary, summary_lines

    manifest = opened(home).current()
    said(summary(manifest), summary_lines(manifest), as_json=as_json)


@consortium.command("revoke")
def revoke(
    name: str, officer: Keys = None, home: Home = None, dry_run: Rehearsal = False, as_json: Json = False
) -> None:
    """Take a member or operator out: a new manifest without it. Its keys and certificate never come back."""
    from server.consortium.rotate import revoked
    from server.consortium_output import proposed

    kept = opened(home)
    change = kept.prepared(f"revoke {name}", lambda at: revoked(kept, name, now=at), now=now())
    proposed(kept, change, officer=officer, dry_run=dry_run, as_json=as_json)


@consortium.command("renew")
def renew(
    wheels: Annotated[
        Path | None,
        typer.Option(help="Folder of the wheels that members install: their names and hashes go into the manifest."),
    ] = None,
    officer: Keys = None,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Sign the manifest for another span of days, with the packages that are installed here now, or whose wheels lie in
    a folder.
    """
    from fedcredit.trust.software import in_wheels, installed
    from server.consortium_output import proposed

    kept = opened(home)
    waiting = kept.pending()
    packages = waiting.draft().packages if waiting and waiting.change == "renew" else ()
    if not packages:
        handed_out = {one.name: one for one in (in_wheels(wheels) if wheels else [])}
        packages = tuple(handed_out.get(one.name, one) for one in installed())
    change = kept.prepared("renew", lambda at: kept.next_version(now=at, packages=packages), now=now())
    proposed(kept, change, officer=officer, dry_run=dry_run, as_json=as_json)


@consortium.command("sign")
def sign(
    officer: Keys = None,
    copy: Annotated[
        list[Path] | None, typer.Option("--from", help="A copy of pending.json that an officer has countersigned.")
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Forget the change that waits.")] = False,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Show the change that waits for signatures, and sign it, or take the signatures of copies that came back."""
    from fedcredit.errors import ConfigError
    from server.consortium.pending import required_pending
    from server.consortium_output import proposed

    kept = opened(home)
    waiting = kept.pending()
    if waiting is None:
        raise ConfigError("consortium sign", found="nothing that waits for signatures", expected="pending.json")
    if drop:
        kept.drop()
        said({"dropped": waiting.change}, [f"dropped {waiting.change}"], as_json=as_json)
        return
    for path in copy or ():
        waiting = waiting.merged(required_pending(path))
    proposed(kept, waiting, officer=officer, dry_run=dry_run, as_json=as_json)


@consortium.command("countersign")
def countersign(
    copy: Annotated[Path, typer.Argument(metavar="PENDING", help="A copy of the consortium's pending.json.")],
    manifest: Annotated[Path, typer.Option(help="A copy of its manifest.json, to see what would change.")],
    officer: Annotated[Path, typer.Option(help="The officer's key file.")],
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """On an officer's own machine: show what a copy of pending.json would change, and sign the copy.

    The key never comes near the platform. The copy goes back: fedcredit consortium sign --from PENDING.
    """
    from fedcredit.trust.fingerprint import spaced
    from server.consortium.countersign import countersigned
    from server.consortium_output import described

    made = countersigned(copy, manifest=manifest, key=officer, is_rehearsal=dry_run)
    lines = described(made.current, made.change)
    if made.current:
        typer.echo(f"{made.current.consortium}, fingerprint {spaced(made.current.root_fingerprint)}", err=True)
    for line in lines:
        typer.echo(line, err=True)
    words = f"{'would sign' if dry_run else 'signed'} {made.change.change}"
    said({"change": made.change.change, "dry_run": dry_run, "changes": lines}, [words], as_json=as_json)


@consortium.command("officer")
def officer_key(
    name: str,
    folder: Annotated[Path, typer.Option("--folder", help="Where the key goes, such as a stick.")] = Path(),
    as_json: Json = False,
) -> None:
    """Make an officer's key on the officer's own machine: NAME.key stays there, NAME.pub goes to the consortium."""
    from fedcredit.trust.fingerprint import spaced
    from fedcredit.trust.keys import Identity
    from fedcredit.trust.words import checked_name
    from server.consortium.officers import write_public

    checked_name(name, where="NAME")
    identity = Identity.generate()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity.save(folder / f"{name}.key")
    write_public(folder / f"{name}.pub", identity.public)
    typer.echo(f"fingerprint {spaced(identity.public.fingerprint)}", err=True)
    facts = {"key": str(folder / f"{name}.key"), "public": str(folder / f"{name}.pub")}
    said(facts | {"fingerprint": identity.public.fingerprint}, [facts["public"]], as_json=as_json)


@consortium.command("verify")
def verify(home: Home = None, as_json: Json = False) -> None:
    """Check authority, manifest, its whole history, certificates, keys and what waits. Leaves with 1 on a fault."""
    from server.consortium.verify import verify as checked

    checks = checked(opened(home), now=now())
    faults = [one for one in checks if not one.is_fine and not one.is_warning]
    words = {True: "ok", False: "fault"}
    rows = [
        {"check": one.name, "state": "warning" if one.is_warning else words[one.is_fine], "found": one.found}
        | {"remedy": one.remedy}
        for one in checks
    ]
    lines = [f"{row['state']:8}{row['check']}: {row['found']}" for row in rows]
    lines = [f"{line}; {row['remedy']}" if row["remedy"] else line for line, row in zip(lines, rows, strict=True)]
    said({"ok": not faults, "checks": rows}, lines, as_json=as_json)
    if faults:
        raise typer.Exit(1)
