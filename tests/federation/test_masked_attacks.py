"""A platform that may send any message, and institutions that lie, against the institutions' real app."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from clients import masks
from clients.institution import Institution, institution_of
from fedcredit.errors import PolicyRefused
from fedcredit.federation.arrays import decode
from fedcredit.federation.cohort import Member
from fedcredit.federation.messages import (
    ARRAYS,
    CONFIG,
    DESCRIBE,
    EVALUATE,
    KEYS,
    MASKED,
    SHARES,
    SURVIVORS,
    TRAIN,
    UNMASK,
    Masking,
    Task,
)
from fedcredit.federation.sums import sums_of
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.secagg import ClientSession
from fedcredit.privacy.weights import size_class, weight_units
from fedcredit.trust.keys import Identity
from fedcredit.trust.roster import write_roster
from tests.conftest import FEATURES, Nodes
from tests.federation.conftest import make_task
from tests.federation.lying import LyingPlatform, Refused, initial, nudged
from tests.federation.test_masked import NAMES, SGD, TERMS, Watched, identities, masked, silent

MakeNodes = Callable[..., Nodes]
WHOLE = LocalSettings("sgd", lr=1.0, steps=1, batch_size=4096)


def masked_task(count: int, **settings: Any) -> Task:
    return make_task(masking=Masking((NAMES[:count],), settings.pop("limit", 16.0)), **settings)


@pytest.mark.parametrize("kind", [TRAIN, EVALUATE])
@pytest.mark.parametrize("noise", [None, "local", "distributed"])
def test_a_masked_task_is_never_answered_in_the_clear(kind: str, noise: Any, nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(5, **{"exact-metrics": True})
    terms = None if noise is None else dataclasses.replace(TERMS, noise=noise)
    platform = LyingPlatform(banks, masked_task(5, privacy=terms, local=SGD), roster=identities(banks, tmp_path))
    with pytest.raises(Refused, match="refused"):
        platform.send("bank-1", kind, arrays=initial(platform.task), **{"server-round": 2})


def updates_in_the_clear(banks: Nodes, task: Task) -> dict[str, Any]:
    """What each would send of the same round if nothing were masked."""
    platform = LyingPlatform(banks, task, roster=Path(banks.configs[0]["roster"]))
    plain = dataclasses.replace(task, run="plain", masking=None)
    before, found = initial(task), {}
    for name in platform.group:
        reply = platform.send(name, TRAIN, task=plain, arrays=before, **{"server-round": 1})
        moved = reply.content[ARRAYS]
        found[name] = np.concatenate([(decode(moved[n]) - decode(before[n])).ravel() for n in before])
    return found


def test_the_same_set_and_model_under_another_cap_isolates_nobody(nodes: MakeNodes, tmp_path: Path) -> None:
    """From 140 rows on only bank-5 weighs more at a larger cap: the difference of two sums would be its update."""
    banks = nodes(6)
    roster = identities(banks, tmp_path)
    task = masked_task(6, local=WHOLE)
    platform = LyingPlatform(banks, task, roster=roster)
    first = platform.sum(cap=140, attempt=1)
    truth = updates_in_the_clear(banks, task)
    units = {name: min(60 + 20 * at, 140) / 140 for at, name in enumerate(NAMES)}
    np.testing.assert_allclose(first.reals[:-1], sum(units[n] * truth[n] for n in NAMES), atol=1e-5)
    with pytest.raises(Refused, match="secagg-differencing"):
        platform.sum(cap=160, attempt=2)
    again = LyingPlatform(banks, task, roster=roster, session="s2")
    for attempt, arrays in enumerate((initial(task), nudged(task, 1e-6)), start=1):
        with pytest.raises(Refused, match="secagg-differencing"):  # nor in another session, or a hair apart
            again.sum(cap=160, arrays=arrays, attempt=attempt)


def test_a_cohort_of_one_less_over_a_model_a_hair_apart_is_refused(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(6)
    task = masked_task(6, local=WHOLE)
    platform = LyingPlatform(banks, task, roster=identities(banks, tmp_path))
    platform.sum(attempt=1, arrays=nudged(task, 1e-6))
    with pytest.raises(Refused, match="secagg-differencing"):
        platform.sum(attempt=2, arrays=nudged(task, 2e-6), without=["bank-5"])


def test_a_sum_smaller_than_the_institutions_own_least_is_refused(nodes: MakeNodes, tmp_path: Path) -> None:
    """Three that collude are a minority of many and a majority of four: whom the platform names decides."""
    ceilings = tmp_path / "ceilings.yaml"
    ceilings.write_text("least_sum: 5")
    banks = nodes(6, ceilings=str(ceilings))
    roster = identities(banks, tmp_path)
    platform = LyingPlatform(banks, masked_task(4), roster=roster)
    with pytest.raises(Refused, match="error-refused"):
        platform.sum()
    with pytest.raises(Refused, match="error-refused"):
        updates_in_the_clear(banks, masked_task(5))
    described = platform.send("bank-1", DESCRIBE, task=dataclasses.replace(platform.task, masking=None))
    assert described.content[CONFIG]["rows"] == 64  # of 80
    assert LyingPlatform(banks, masked_task(5, run="five"), roster=roster).sum().counts["weight"] > 0


def test_a_retry_is_of_the_set_that_was_signed_also_when_others_are_back(nodes: MakeNodes, tmp_path: Path) -> None:
    asked: list[int] = []

    def tamper(who: str, message: Message, reply: Message) -> Message:
        kind = message.metadata.message_type
        if kind == MASKED:
            asked.append(int(message.content[CONFIG]["attempt"]))
        is_lost = kind == UNMASK or (who, kind) == ("bank-2", MASKED)
        return silent(who, kind)(who, message, reply) if is_lost and asked[-1] == 1 else reply

    done = masked(nodes(6), tmp_path, served=Watched(tamper), plan={"rounds": 1})
    assert done.state.history[0].institutions == [name for name in NAMES if name != "bank-2"]
    assert asked[:11] == [1] * 6 + [2] * 5  # and then the final model is scored


@pytest.mark.parametrize("other", [{"seed": 6}, {"features": FEATURES[:2]}])
def test_two_first_tasks_of_one_run_at_once_leave_one(other: dict[str, Any], nodes: MakeNodes) -> None:
    facts = dict(nodes(1).configs[0])
    here = institution_of(Context(1, 1, node_config=facts, state=RecordDict(), run_config={}))
    for number in range(20):
        tasks = [make_task(run=f"run-{number}"), make_task(run=f"run-{number}", **other)] * 2
        with ThreadPoolExecutor(len(tasks)) as pool:
            bound = list(pool.map(lambda task: _is_bound(here, task), tasks))
        assert bound in ([True, False] * 2, [False, True] * 2)


def _is_bound(here: Institution, task: Task) -> bool:
    try:
        here.bind(task)
    except PolicyRefused:
        return False
    return True


@pytest.mark.parametrize(
    "run",
    ["masks.sqlite", "masks.sqlite-journal", "seen.sqlite", "seen.sqlite-journal", "question.pb", "question.draft"],
)
def test_a_run_cannot_take_the_place_of_a_file_of_the_node(run: str, nodes: MakeNodes, tmp_path: Path) -> None:
    """A folder where SQLite wants its journal, or the node the draft of its note, would end the node for good."""
    banks = nodes(4)
    platform = LyingPlatform(banks, masked_task(4, run=run), roster=identities(banks, tmp_path))
    platform.send("bank-0", KEYS)
    state = tmp_path / "state-bank-0"
    assert [path.name for path in state.iterdir() if path.is_dir()] == ["runs"]
    assert [path.name for path in (state / "runs").iterdir()] == [run]
    assert (state / "masks.sqlite").is_file()


def test_fake_extra_institutions_are_refused(nodes: MakeNodes, tmp_path: Path) -> None:
    """The platform names institutions that nobody pinned, with keys that it made itself."""
    banks = nodes(4)
    identities(banks, tmp_path)
    names = (NAMES[0], "fake-1", "fake-2", "fake-3")
    forged = tmp_path / "forged.json"
    own = Identity.load(Path(banks.configs[0]["identity"])).public
    write_roster(forged, {NAMES[0]: own} | {name: Identity.generate().public for name in names[1:]})
    platform = LyingPlatform(banks, make_task(masking=Masking((names,), 16.0)), roster=forged)
    with pytest.raises(Refused, match="error-config"):
        platform.send("bank-0", KEYS)


def test_survivors_under_a_task_of_more_dropouts_get_no_signature(nodes: MakeNodes, tmp_path: Path) -> None:
    """The floor on survivors is the task's that was trained; another task is another run, or another plan."""
    banks = nodes(6)
    terms = dataclasses.replace(TERMS, noise="distributed")
    task = masked_task(6, privacy=terms, local=SGD, metrics="none", limit=1024.0)
    platform = LyingPlatform(banks, task, roster=identities(banks, tmp_path))
    laxer = dataclasses.replace(task, privacy=dataclasses.replace(terms, dropouts=2))
    for other, code in ((laxer, "refused"), (dataclasses.replace(laxer, run="other"), "secagg-plan")):
        with pytest.raises(Refused, match=code):
            platform.sum(without=["bank-5"], attempt=1 + (other is laxer), signs_under=other)


def test_a_limit_that_would_tell_of_an_update_with_a_share_of_the_noise_is_refused_before_the_charge(
    nodes: MakeNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.training.COMPANIES_IN_SUM", 16)  # as of an institution with many more companies
    banks = nodes(5)
    terms = dataclasses.replace(TERMS, noise="distributed")
    task = masked_task(5, privacy=terms, local=SGD, metrics="none")
    platform = LyingPlatform(banks, task, roster=identities(banks, tmp_path))
    with pytest.raises(Refused, match=r"^error-refused$"):
        platform.sum()
    assert Ledger(tmp_path / "ledger-bank-0.sqlite").entries() == []


def test_a_masked_round_is_charged_once_an_attempt_and_before_the_upload(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(5)
    terms = dataclasses.replace(TERMS, noise="distributed")
    task = masked_task(5, privacy=terms, local=SGD, metrics="none", limit=1024.0)
    platform = LyingPlatform(banks, task, roster=identities(banks, tmp_path))
    platform.sum(attempt=1)
    platform.sum(attempt=2)
    entries = Ledger(tmp_path / "ledger-bank-0.sqlite").entries()
    assert [(entry.event, entry.round, entry.attempt) for entry in entries] == [
        ("plan", 0, 1),
        ("charge", 1, 1),
        ("charge", 1, 2),
    ]
    with pytest.raises(Refused, match="secagg-stage"):  # the same start again: refused before it is charged
        platform.sum(attempt=2)
    assert len(Ledger(tmp_path / "ledger-bank-0.sqlite").entries()) == 3
    with pytest.raises(Refused, match="error-budget"):  # the plan was for two
        platform.sum(number=2)


def killed(banks: Nodes, task: Task, roster: Path, at: str, note: Path) -> None:
    """Institution and platform in one process that dies at the first call of the named step of a masked upload."""

    def die(*_: Any, **__: Any) -> None:
        note.write_bytes(platform.said["bank-0"][MASKED])
        os.kill(os.getpid(), signal.SIGKILL)

    platform = LyingPlatform(banks, task, roster=roster)
    setattr(*{"before": (ClientSession, "upload"), "after": (masks, "record_of")}[at], die)
    platform.sum()


@pytest.mark.parametrize(("at", "charges"), [("before", 2), ("after", 1)])
def test_round_rerun_after_a_restart_uploads_once_and_is_charged_for_each_training(
    at: str, charges: int, nodes: MakeNodes, tmp_path: Path
) -> None:
    """Kill -9 between the charge and the store, and between the store and the reply."""
    banks, note = nodes(4), tmp_path / "start"
    terms = dataclasses.replace(TERMS, noise="distributed")
    task = masked_task(4, privacy=terms, local=SGD, metrics="none", limit=1024.0)
    roster = identities(banks, tmp_path)
    process = multiprocessing.get_context("fork").Process(target=killed, args=(banks, task, roster, at, note))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    platform, ledger = LyingPlatform(banks, task, roster=roster), Ledger(tmp_path / "ledger-bank-0.sqlite")
    again = functools.partial(
        platform.send,
        "bank-0",
        MASKED,
        note.read_bytes(),
        arrays=initial(task),
        cap=96,
        attempt=1,
        **{"server-round": 1},
    )
    if at == "before":
        assert again().has_content()
    with pytest.raises(Refused, match="secagg-stage"):
        again()
    assert sum(entry.event == "charge" for entry in ledger.entries()) == charges


def test_a_stage_skipped_or_replayed_over_the_wire_is_refused(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(4)
    platform = LyingPlatform(banks, masked_task(4), roster=identities(banks, tmp_path))
    with pytest.raises(Refused, match="secagg-stage"):
        platform.send("bank-0", SHARES, attempt=1, confirms=0, **{"server-round": 1})
    platform.sum()
    for kind, said in platform.said["bank-0"].items():
        with pytest.raises(Refused, match="secagg-stage"):
            platform.send("bank-0", kind, said, arrays=initial(platform.task), cap=96, attempt=1, **{"server-round": 1})


def test_nothing_of_another_run_opens_in_this_one(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(4)
    roster = identities(banks, tmp_path)
    earlier = LyingPlatform(banks, masked_task(4), roster=roster)
    earlier.sum()
    platform = LyingPlatform(banks, masked_task(4, run="later"), roster=roster)
    platform.set_up()
    for kind in (MASKED, SURVIVORS, UNMASK):
        with pytest.raises(Refused, match=r"secagg-(plan|stage)"):
            platform.send(
                "bank-0",
                kind,
                earlier.said["bank-0"][kind],
                arrays=initial(platform.task),
                cap=96,
                **{"server-round": 1},
            )


def test_a_refusal_over_the_wire_is_a_code_without_a_company(
    nodes: MakeNodes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    banks = nodes(5)
    platform = LyingPlatform(banks, masked_task(5, limit=1e-3, local=WHOLE), roster=identities(banks, tmp_path))
    with pytest.raises(Refused, match=r"^error-secagg-encoding$"):
        platform.sum()
    assert not [name for name in banks.windows[0].company if name in caplog.text]


def test_no_weight_is_above_a_third_in_any_sum_that_may_be_opened() -> None:
    """Of two large institutions of six one may drop out: the other must not outweigh those that are left."""
    counts = dict(zip(NAMES, (250, 250, 70, 70, 70, 70), strict=True))
    members = [Member(at, n, "", "", size_class(c), size_class(c)) for at, (n, c) in enumerate(counts.items())]
    pinned = {name: Identity.generate().public for name in NAMES}
    (one,) = sums_of(masked_task(6), members, pinned=pinned, size=10)
    units = {name: weight_units(count, cap=one.cap) for name, count in counts.items()}
    assert one.plan.roster.least == 5
    for gone in NAMES:
        left = [weight for name, weight in units.items() if name != gone]
        assert 3 * max(left) <= sum(left)
