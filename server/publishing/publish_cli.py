"""`fedcredit model publish`: the champion of a model, sent to every institution's node."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from server.publishing.order import PublishOrder


def publish_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")],
    study: Annotated[str | None, typer.Option("--study", help="In the manifest; else the one that trained it.")] = None,
    consortium: Annotated[
        str | None, typer.Option("--consortium", help="Whose operator you are; else the only one.")
    ] = None,
    deadline: Annotated[float, typer.Option("--deadline", min=1, max=3600, help="Seconds to wait for nodes.")] = 300.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Verify it and say what would be sent.")] = False,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs, which has models/NAME.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send a model's champion to every node of the consortium; each verifies both officers' signatures for itself.

    Exit code 3 where a node refused it, 1 where one was silent or offline: run it again, who has it says so.
    """
    from server.consortium.operator import profile
    from server.remote import publish_to_consortium
    from server.scoring.places import desk_of

    order = prepared(desk_of(runs, name), study=study, deadline_seconds=deadline)
    if dry_run:
        size = sum(map(len, order.sent.files.values()))
        told = {"model": order.model, "bundle_sha256": order.bundle_sha256, "study": order.study, "bytes": size}
        typer.echo(json.dumps(told) if as_json else f"{order.model} {order.bundle_sha256[:12]}: {size:,} bytes a node")
        return
    typer.echo(f"sending {order.model} {order.bundle_sha256[:12]} under study {order.study}", err=True)
    result = publish_to_consortium(order, profile(consortium))
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else "\n".join(lines(result)))
    if result.get("refused"):
        raise typer.Exit(3)
    if not result.get("is_everywhere"):
        raise typer.Exit(1)


def prepared(desk: Path, *, study: str | None, deadline_seconds: float) -> PublishOrder:
    """The order to send the desk's champion, its promotion signed by two of the approvers or more.

    Raises:
        ModelError: there is no champion. ConfigError: it has no promotion beside it.
    """
    from server.publishing.order import PublishOrder
    from server.scoring.scheduled import champion_of

    bundle = champion_of(desk)
    run = f"publish-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    folder = desk / "bundles" / bundle.sha256
    return PublishOrder.of_folder(folder, study=study or bundle.study, run=run, deadline_seconds=deadline_seconds)


def lines(result: dict[str, Any]) -> list[str]:
    """A line an institution: has it since now, had it, refused by a code, silent, offline."""
    told = {str(name): "has it now" for name in result.get("kept", ())}
    told |= {str(name): "had it" for name in result.get("had", ())}
    told |= {str(name): f"refused: {code}" for name, code in dict(result.get("refused", {})).items()}
    told |= {str(name): "silent" for name in result.get("silent", ())}
    told |= {str(name): "offline" for name in result.get("offline", ())}
    return [f"{name:24} {word}" for name, word in sorted(told.items())]
