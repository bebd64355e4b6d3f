"""A model's desk and a hub become one rescoring run on record: alone, on the champion in force, resumable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import FedCreditError, ModelError
from fedcredit.models import bundle as bundles
from fedcredit.models.bundle import Bundle
from server.promotion.desk import Desk
from server.scoring.book import ScoreBook
from server.scoring.inputs import HubInputs, Inputs, hub_file
from server.scoring.places import BOOK, LOCK, RECORD
from server.scoring.rescore import RENEW_HOURS, Rescored, rescore
from server.scoring.run_record import RunRecord, alone, read_record, write_record
from server.scoring.scored import instant

Opened = Callable[[Bundle], Inputs]


def run_on_hub(
    desk: Path,
    hub: Path,
    *,
    intake: Callable[[DuckStore], object] | None = None,
    as_of: datetime | None = None,
    is_dry_run: bool = False,
    renew_hours: float = RENEW_HOURS,
    has_reasons: bool = True,
    on_batch: Callable[[int, int], None] = lambda done, due: None,
) -> Rescored:
    """Rescore the companies of a hub with the champion on the desk; `intake` takes in what the sources sent.

    Raises:
        RunError: another run is at work. ModelError: there is no champion. TableError: there is no such hub.
    """
    with DuckStore(hub_file(hub)) as store:

        def opened(bundle: Bundle) -> Inputs:
            return HubInputs(
                store, bundle.schema, time=bundle.time, intake=(lambda: intake(store)) if intake is not None else None
            )

        return run(
            desk,
            opened,
            as_of=as_of,
            is_dry_run=is_dry_run,
            renew_hours=renew_hours,
            has_reasons=has_reasons,
            on_batch=on_batch,
        )


def run(
    desk: Path,
    inputs: Opened,
    *,
    as_of: datetime | None = None,
    is_dry_run: bool = False,
    renew_hours: float = RENEW_HOURS,
    has_reasons: bool = True,
    on_batch: Callable[[int, int], None] = lambda done, due: None,
) -> Rescored:
    """One run of the desk's champion over these inputs; its record is kept unless it is dry."""
    now = as_of or datetime.now(UTC)
    with alone(desk / LOCK):
        bundle = champion_of(desk)
        if is_dry_run:
            with ScoreBook(desk / BOOK) as book:
                return rescore(book, inputs(bundle), bundle, as_of=now, renew_hours=renew_hours, is_dry_run=True)
        last = read_record(desk / RECORD)
        good = last.good if last else None
        begun = RunRecord("running", instant(now), None, good, bundle.version, 0)
        try:
            write_record(desk / RECORD, begun)
            with ScoreBook(desk / BOOK) as book:
                done = rescore(
                    book,
                    inputs(bundle),
                    bundle,
                    as_of=now,
                    renew_hours=renew_hours,
                    has_reasons=has_reasons,
                    on_batch=on_batch,
                )
        except FedCreditError as fault:
            _keep(desk, "failed", begun, fault=str(fault))
            raise
        except OSError as fault:
            raise ModelError(
                str(desk), found=fault.strerror or "a fault", expected="a disk that can be written"
            ) from None
        _keep(desk, "failed" if done.fault else "done", begun, scored=done.scored, fault=done.fault)
        return done


def champion_of(folder: Path) -> Bundle:
    """The champion's bundle by the desk's signed history, every file checked; a pointer that lags or lies is not asked.

    Raises:
        ModelError: no champion was promoted, or its bundle is not the one that was.
        HistoryBroken: the history does not verify.
    """
    desk = Desk(folder)
    champion = desk.champion()
    if champion is None:
        hint = "promote one: fedcredit model promote"
        raise ModelError(folder.name, found="no champion", expected="a promoted model", hint=hint)
    return bundles.read(desk.bundle(champion.bundle_sha256))


def _keep(desk: Path, state: str, begun: RunRecord, *, scored: int = 0, fault: str = "") -> None:
    good = begun.began if state == "done" else begun.good
    ended = instant(datetime.now(UTC))
    try:
        write_record(
            desk / RECORD, RunRecord(state, begun.began, ended, good, begun.model_version, scored, fault[:1000])
        )
    except OSError:
        if state == "done":  # the scores stand; the next run finds nothing due
            raise ModelError(str(desk / RECORD), found="no room", expected="a disk that can be written") from None
