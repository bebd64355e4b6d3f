"""Evaluations over real Flower messages: federated counts are the pooled ones, noised ones are charged, all are few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from flwr.app import ArrayRecord, Message, RecordDict
from numpy.typing import NDArray

from clients import counting
from clients.app import app
from clients.evaluations import Evaluations
from clients.institution import institution_of
from fedcredit.data.windows import Windows, join, load, save
from fedcredit.errors import ConfigError, FederationError
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.evaluation.metrics import auc
from fedcredit.evaluation.noised import noised_auc
from fedcredit.evaluation.separation import auc_of_counts
from fedcredit.federation import evaluate as platform
from fedcredit.federation.arrays import decode, encode, record_of
from fedcredit.federation.cohort import gather
from fedcredit.federation.counted import release_of
from fedcredit.federation.counting import CountTerms, Question
from fedcredit.federation.evaluate import Evaluated, evaluate
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import ARRAYS, COUNTS, COUNTS_MASKED, QUESTION, Masking, PrivacyTerms, Task
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings
from fedcredit.models.train import evaluate as probabilities
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.statement import statements
from fedcredit.trust.keys import PublicIdentity
from fedcredit.trust.roster import read_roster
from server.app import initial_arrays
from server.evaluated import as_facts
from tests.conftest import Nodes, make_windows
from tests.federation.conftest import make_task
from tests.federation.test_masked import NAMES, Watched, identities

MakeNodes = Callable[..., Nodes]
EXACT = CountTerms(evaluations=3)
NOISED = CountTerms(evaluations=2, epsilon=2.0)
BY_SECTOR = Question(column="sector", segments=("trade", "mining"))
BY_REGION = Question(column="region", segments=("north", "south"))
MASKS = Masking((NAMES[:5],), 16.0)


SEAT = {"trade": "south", "mining": "north", "farming": "west"}


def with_sectors(banks: Nodes, *, without: int | None = None) -> Nodes:
    """Give each bank's companies a sector and its region; one bank has no company in mining."""
    for number, config in enumerate(banks.configs):
        windows = banks.windows[number]
        words = ["trade", "farming", "trade" if number == without else "mining"]
        sectors = [words[(row // 3) % 3] for row in range(len(windows))]
        about = pd.DataFrame({"sector": sectors, "region": [SEAT[name] for name in sectors]})
        banks.windows[number] = replace(windows, about=about)
        save(banks.windows[number], Path(config["windows"]))
    return banks


def pooled(windows: list[Windows], task: Task, question: Question) -> NDArray[np.int64]:
    """The counts of all rows in one place, by the score grid's own function."""
    everyone = join(windows).part("validation")
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    p = probabilities(model, torch.from_numpy(everyone.x))
    values = everyone.about[question.column].to_numpy() if question.column else np.full(len(everyone), "")
    named = [values == name for name in question.segments]
    parts = [*named, ~np.any(named, axis=0) if named else np.ones(len(everyone), bool)]
    return np.stack([ScoreGrid(question.bins).count(p[part], everyone.y[part]) for part in parts])


def asked(
    banks: Nodes,
    task: Task,
    question: Question,
    *,
    number: int = 1,
    served: Any = app,
    roster: Path | None = None,
    **more: Any,
) -> Evaluated:
    grid = InProcessGrid(served, banks.configs)
    members = gather(grid, task, quorum=1, wait_seconds=0.05, poll_seconds=0.001)
    pinned: dict[str, PublicIdentity] = dict(read_roster(roster)) if roster is not None else {}
    usual = {"poll_seconds": 0.001, "deadline_seconds": 0.05, **more}
    return evaluate(
        grid,
        initial_arrays(task),
        task=task,
        question=question,
        members=members,
        number=number,
        pinned=pinned,
        **usual,
    )


def kept(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The counts without cells of fewer than ten."""
    return np.where(counts < 10, 0, counts)


def spent(banks: Nodes, *, node: int = 0) -> list[tuple[str, str, int]]:
    entries = Ledger(Path(banks.configs[node]["ledger"])).entries()
    return [(entry.event, entry.kind, entry.count) for entry in entries]


def _knowing(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """The logistic weights of `make_windows`: debt counts for default, cash against it."""
    if value.ndim != 2:
        return np.full_like(value, -1.5)
    return np.tile(np.array([1.5, -1.5, 0.0], value.dtype), value.shape[1] // 3)[None, :]


# Exact counts.


@pytest.mark.parametrize("question", [Question(), BY_SECTOR, BY_REGION, replace(BY_SECTOR, bins=32)])
def test_exact_counts_in_the_clear_are_the_pooled_ones(question: Question, nodes: MakeNodes) -> None:
    banks, task = with_sectors(nodes(3, **{"open-rows": True}), without=1), make_task(counts=EXACT)
    found = asked(banks, task, question)
    assert found.counts.shape == question.shape
    np.testing.assert_array_equal(found.counts, pooled(banks.windows, task, question))
    assert (found.institutions, found.small, found.epsilon_metrics) == (("bank-0", "bank-1", "bank-2"), (), None)


@pytest.mark.parametrize("question", [Question(bins=16), replace(BY_SECTOR, bins=8), replace(BY_REGION, bins=8)])
def test_masked_counts_are_the_pooled_ones_and_no_reply_has_any(
    question: Question, nodes: MakeNodes, tmp_path: Path
) -> None:
    banks, task, served = with_sectors(nodes(5), without=1), make_task(counts=EXACT, masking=MASKS), Watched()
    found = asked(banks, task, question, served=served, roster=identities(banks, tmp_path))
    np.testing.assert_array_equal(found.counts, kept(pooled(banks.windows, task, question)))
    assert found.counts.any()
    assert found.institutions == NAMES[:5]
    sent = [content for _, kind, content in served.seen if kind == COUNTS_MASKED]
    assert len(sent) == 5
    words = np.concatenate([decode(content[ARRAYS]["masked"]) for content in sent])
    spread = np.histogram(words, bins=16, range=(0, 2**32))[0]
    assert ((spread - spread.mean()) ** 2 / spread.mean()).sum() < 60
    assert not any(kind == COUNTS for _, kind, _ in served.seen)


def test_a_masked_cell_of_few_companies_is_neither_kept_nor_shown_unless_the_rows_are_one_s_own(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks, task = nodes(5), make_task(counts=EXACT, masking=MASKS)
    roster = identities(banks, tmp_path)
    pool = pooled(banks.windows, task, Question())
    assert ((pool > 0) & (pool < 10)).any()
    facts = as_facts(asked(banks, task, Question(), roster=roster))
    assert not [cell for cell in np.ravel(facts["counts"]) if 0 < cell < 10]
    own = asked(banks, task, Question(), number=2, roster=roster, is_open=True)
    np.testing.assert_array_equal(own.counts, pool)


def test_a_dropout_leaves_the_counts_of_the_others(nodes: MakeNodes, tmp_path: Path) -> None:
    from clients.egress import refusal

    def tamper(who: str, message: Message, reply: Message) -> Message:
        is_lost = (who, message.metadata.message_type) == ("bank-2", COUNTS_MASKED)
        return refusal("internal", message) if is_lost else reply

    banks, task = nodes(5), make_task(counts=EXACT, masking=MASKS)
    found = asked(banks, task, Question(bins=16), served=Watched(tamper), roster=identities(banks, tmp_path))
    rest = [bank for number, bank in enumerate(banks.windows) if number != 2]
    np.testing.assert_array_equal(found.counts, kept(pooled(rest, task, Question(bins=16))))
    assert found.counts.any()
    assert found.quarantined == {"bank-2": "error-internal"}


def test_one_model_s_exact_counts_are_never_summed_over_two_sets(nodes: MakeNodes, tmp_path: Path) -> None:
    """The difference of the two sums would be one institution's counts."""
    from clients.egress import refusal

    def tamper(who: str, message: Message, reply: Message) -> Message:
        is_lost = (who, message.metadata.message_type) == ("bank-2", COUNTS_MASKED)
        return refusal("internal", message) if is_lost else reply

    banks, task = nodes(5), make_task(counts=EXACT, masking=MASKS)
    roster = identities(banks, tmp_path)
    asked(banks, task, Question(), roster=roster)
    with pytest.raises(FederationError, match="0 institutions"):
        asked(banks, task, Question(), number=2, served=Watched(tamper), roster=roster)


def test_masked_counts_go_on_after_training_under_the_same_run(nodes: MakeNodes, tmp_path: Path) -> None:
    from server.app import conduct
    from tests.federation.conftest import make_order

    banks, task = nodes(5), make_task(counts=EXACT, masking=MASKS)
    roster = identities(banks, tmp_path)
    order = replace(make_order(task, rounds=1, quorum=4), roster=roster)
    conduct(InProcessGrid(app, banks.configs), order)
    question = Question(bins=16)
    found = asked(banks, task, question, roster=roster)
    np.testing.assert_array_equal(found.counts, kept(pooled(banks.windows, task, question)))


def test_a_count_of_few_companies_is_suppressed_in_the_clear(nodes: MakeNodes) -> None:
    banks, task = with_sectors(nodes(3)), make_task(counts=EXACT)
    question = replace(BY_SECTOR, bins=8)
    whole = [pooled([bank], task, question) for bank in banks.windows]
    served = Watched()
    asked(banks, task, question, served=served)
    sent = [decode(content[ARRAYS][QUESTION]) for _, kind, content in served.seen if kind == COUNTS]
    assert any(((own > 0) & (own < 10)).any() for own in whole)
    for own, one in zip(whole, sent, strict=True):
        np.testing.assert_array_equal(one, kept(own))


def test_a_segment_of_few_companies_is_not_shown(nodes: MakeNodes, tmp_path: Path) -> None:
    banks, task = with_sectors(nodes(5)), make_task(counts=EXACT, masking=MASKS)
    question = Question(column="sector", segments=("trade", "shipping"), bins=8)  # nobody ships
    found = asked(banks, task, question, roster=identities(banks, tmp_path))
    assert found.small == ("shipping",)
    assert not found.of("shipping").any()
    assert found.of("trade").any()


@pytest.mark.parametrize("masking", [None, MASKS])
def test_exact_counts_of_several_rows_a_company_are_refused_unless_the_rows_are_open(
    masking: Masking | None, nodes: MakeNodes, tmp_path: Path
) -> None:
    """One company with twelve months alone would be a cell that is shown."""
    banks = nodes(5)
    task = make_task(counts=replace(EXACT, rows_per_company=12), masking=masking)
    roster = identities(banks, tmp_path)
    with pytest.raises(FederationError, match="error-refused"):
        asked(banks, task, Question(bins=8), roster=roster)
    ledger = Path(banks.configs[0]["ledger"])
    assert Evaluations.beside(ledger, "bank-0").answered("test") == 0
    for config in banks.configs:
        config["open-rows"] = True
    again = replace(task, run="open", study="open")
    assert len(asked(banks, again, Question(bins=8), roster=roster).institutions) == 5


@pytest.mark.parametrize("masking", [None, MASKS])
def test_exact_counts_are_of_one_cut_whose_difference_to_another_would_show_hidden_cells(
    masking: Masking | None, nodes: MakeNodes, tmp_path: Path
) -> None:
    banks, task = with_sectors(nodes(5)), make_task(counts=EXACT, masking=masking, study="pilot")
    roster = identities(banks, tmp_path)
    first = asked(banks, task, Question(bins=16), roster=roster)
    # Not in the same run, nor in another one of the study, nor of the same model in another study.
    others = [task, replace(task, run="other"), replace(task, run="third", study="third")]
    for other in others:
        for cut in (Question(bins=8), replace(BY_SECTOR, bins=16)):
            with pytest.raises(FederationError, match="error-refused"):
                asked(banks, other, cut, number=2, roster=roster)
    counter = Evaluations.beside(Path(banks.configs[0]["ledger"]), "bank-0")
    assert (counter.answered("pilot"), counter.answered("third")) == (1, 0)
    again = asked(banks, task, Question(bins=16), number=2, roster=roster)
    np.testing.assert_array_equal(again.counts, first.counts)
    assert counter.answered("pilot") == 2


def test_open_rows_are_counted_in_any_cut(nodes: MakeNodes) -> None:
    banks, task = nodes(1, **{"open-rows": True}), make_task(counts=EXACT)
    assert all(asked(banks, task, Question(bins=bins), number=n).counts.any() for n, bins in ((1, 512), (2, 8)))


# Noised counts.


def test_noised_counts_are_charged_apart_from_training_and_before_a_row_is_touched(
    nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks, task = nodes(3), make_task(counts=NOISED, metrics="noised")
    seen: list[list[tuple[str, str, int]]] = []

    def watched(*arguments: Any, **settings: Any) -> NDArray[np.int64]:
        seen.append(spent(banks, node=len(seen)))
        return honest(*arguments, **settings)

    honest = counting._counts
    monkeypatch.setattr(counting, "_counts", watched)
    found = asked(banks, task, Question(bins=32))
    assert seen == [[("plan", "metrics", 2), ("charge", "metrics", 1)]] * 3
    assert found.epsilon_metrics == 2.0  # of both evaluations


def test_epsilon_of_an_evaluation_is_no_less_than_what_its_study_has_spent(nodes: MakeNodes) -> None:
    """Every run counts its questions from 1, and the study has more runs than one."""
    banks, task = nodes(2), make_task(counts=NOISED, metrics="noised", study="pilot")
    asked(banks, task, Question(bins=32))
    second = asked(banks, replace(task, run="second"), Question(bins=32), number=1)
    (statement,) = statements(Ledger(Path(banks.configs[0]["ledger"])).entries())
    (study,) = statement.studies
    assert study.charges == 2
    assert second.epsilon_metrics is not None
    assert second.epsilon_metrics >= study.epsilon_metrics > 1.9


def test_an_answer_that_cannot_be_charged_is_none(nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    banks, task = nodes(3), make_task(counts=NOISED, metrics="noised")
    Path(banks.configs[1]["ledger"]).write_bytes(b"no ledger" * 200)

    def touched(*arguments: Any, **settings: Any) -> None:
        raise AssertionError("a row was touched")

    monkeypatch.setattr(counting, "counted", touched)
    with pytest.raises(FederationError, match="error-"):
        asked(nodes_of(banks, 1), task, Question(bins=32))


def nodes_of(banks: Nodes, number: int) -> Nodes:
    return Nodes([banks.configs[number]], [banks.windows[number]])


@pytest.mark.parametrize("terms", [EXACT, NOISED])
def test_one_evaluation_too_many_is_refused_also_by_a_node_that_started_anew(
    terms: CountTerms, nodes: MakeNodes
) -> None:
    metrics = "noised" if terms.is_noised else "exact"
    banks, task = nodes(2, **{"open-rows": True}), make_task(counts=terms, metrics=metrics, study="pilot")
    for number in range(1, terms.evaluations + 1):
        asked(banks, task, Question(bins=16), number=number)
    institution_of.__globals__["_read"].cache_clear()  # nothing is kept in memory
    with pytest.raises(FederationError, match="error-budget"):
        asked(banks, task, Question(bins=16), number=1)
    # Nor by another run of the study, nor by one that states more of them.
    for other in (replace(task, run="other"), replace(task, run="third", counts=replace(terms, evaluations=9))):
        with pytest.raises(FederationError, match=r"error-(budget|refused)"):
            asked(banks, other, Question(bins=16))
    counter = Evaluations.beside(Path(banks.configs[0]["ledger"]), "bank-0")
    assert counter.answered("pilot") == terms.evaluations
    assert counter.path.stat().st_mode & 0o777 == 0o600


def test_the_platform_asks_for_no_more_than_was_stated(nodes: MakeNodes) -> None:
    with pytest.raises(ConfigError, match="1 to 3"):
        asked(nodes(1), make_task(counts=EXACT), Question(), number=4)


def test_without_terms_nothing_is_counted(nodes: MakeNodes) -> None:
    with pytest.raises(ConfigError, match="the terms"):
        asked(nodes(1), make_task(), Question())
    grid = InProcessGrid(app, nodes(1).configs)
    config = make_task().as_config(**{"server-round": 1, QUESTION: Question().to_json()})
    arrays = record_of({name: encode(value) for name, value in initial_arrays(make_task()).items()})
    (reply,) = grid.send_and_receive([Message(RecordDict({"config": config, ARRAYS: arrays}), 1, COUNTS)])
    assert reply.error.reason == "refused"


def test_a_masked_task_is_answered_under_masks_only(nodes: MakeNodes, tmp_path: Path) -> None:
    banks, task = nodes(5), make_task(counts=EXACT, masking=MASKS)
    identities(banks, tmp_path)
    config = task.as_config(**{"server-round": 1, QUESTION: Question().to_json()})
    arrays = record_of({name: encode(value) for name, value in initial_arrays(task).items()})
    grid = InProcessGrid(app, banks.configs)
    (reply,) = grid.send_and_receive([Message(RecordDict({"config": config, ARRAYS: arrays}), 1, COUNTS)])
    assert reply.error.reason == "refused"
    assert Evaluations.beside(Path(banks.configs[0]["ledger"]), "bank-0").answered("test") == 0


def test_the_noise_of_a_masked_sum_is_there_once_and_in_the_clear_once_for_each(
    nodes: MakeNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question(bins=512)
    terms = CountTerms(evaluations=1, epsilon=2.0)
    banks, clear = nodes(5), make_task(counts=terms, metrics="noised")
    masked = replace(clear, masking=MASKS, run="masked", study="masked")
    pool = pooled(banks.windows, clear, question)
    noise, share = release_of(clear), release_of(masked, group=NAMES[:5])
    assert noise is not None
    assert share is not None
    monkeypatch.setattr(platform, "SMALLEST_CELL", -(10**9))
    one = asked(banks, clear, question)
    off = (one.counts - pool).std()
    assert off == pytest.approx(noise.deviation_of_sum(5), rel=0.25)  # 1024 cells, heavy tails
    summed = asked(banks, masked, question, roster=identities(banks, tmp_path))
    # Of five, one may collude: the shares of four make up the noise, and those of five are there.
    assert (summed.counts - pool).std() == pytest.approx(share.deviation_of_sum(5), rel=0.25)
    assert summed.deviation == share.deviation_of_sum(5) == pytest.approx(noise.deviation * np.sqrt(5 / 4))


@pytest.mark.parametrize("dropouts", [0, 1])
def test_a_sum_with_too_few_shares_of_its_noise_is_not_opened(dropouts: int, nodes: MakeNodes, tmp_path: Path) -> None:
    from clients.egress import refusal

    def tamper(who: str, message: Message, reply: Message) -> Message:
        is_lost = (who, message.metadata.message_type) == ("bank-2", COUNTS_MASKED)
        return refusal("internal", message) if is_lost else reply

    terms = CountTerms(evaluations=4, epsilon=8.0, dropouts=dropouts)
    banks, task = nodes(5), make_task(counts=terms, metrics="noised", masking=MASKS)
    roster = identities(banks, tmp_path)
    if not dropouts:
        with pytest.raises(FederationError, match="error-refused"):
            asked(banks, task, Question(bins=8), served=Watched(tamper), roster=roster)
        return
    found = asked(banks, task, Question(bins=8), served=Watched(tamper), roster=roster)
    assert found.institutions == ("bank-0", "bank-1", "bank-3", "bank-4")


def test_counts_of_level_four_rows_leave_noised_only(nodes: MakeNodes) -> None:
    banks = nodes(2, level=4)
    with pytest.raises(FederationError, match="error-refused"):
        asked(banks, make_task(counts=EXACT), Question(bins=16))
    found = asked(banks, make_task(counts=NOISED, metrics="noised", run="noised"), Question(bins=16))
    assert len(found.institutions) == 2


def test_of_a_company_with_many_rows_the_last_ones_count(nodes: MakeNodes) -> None:
    banks = nodes_of(nodes(5, **{"open-rows": True}), 4)
    windows = banks.windows[0]
    company = np.array([f"company-{row // 6:04}" for row in range(len(windows))])  # two validation rows each
    save(replace(windows, company=company), Path(banks.configs[0]["windows"]))
    one = asked(banks, make_task(counts=EXACT), Question(bins=16))
    assert one.counts.sum() == 35
    both = asked(
        banks, make_task(counts=replace(EXACT, rows_per_company=2), run="both", study="both"), Question(bins=16)
    )
    assert both.counts.sum() == 70


# Hostile replies and questions.


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        (np.zeros((1, 2, 16), np.int64), "counts-form"),
        (np.zeros((1, 2, 32), np.float64), "counts-form"),
        (np.full((1, 2, 32), -1, np.int64), "counts-range"),
        (np.full((1, 2, 32), 2**62, np.int64), "counts-range"),
    ],
)
def test_counts_of_another_form_are_set_aside(counts: NDArray[Any], code: str, nodes: MakeNodes) -> None:
    def tamper(who: str, message: Message, reply: Message) -> Message:
        if (who, message.metadata.message_type) == ("bank-1", COUNTS):
            reply.content = RecordDict({ARRAYS: ArrayRecord({QUESTION: encode(counts)})})
        return reply

    banks, task = nodes(3, **{"open-rows": True}), make_task(counts=EXACT)
    found = asked(banks, task, Question(bins=32), served=Watched(tamper))
    assert found.quarantined == {"bank-1": code}
    rest = [banks.windows[0], banks.windows[2]]
    np.testing.assert_array_equal(found.counts, pooled(rest, task, Question(bins=32)))


@pytest.mark.parametrize(
    "facts",
    [
        {"bins": 100},
        {"bins": 1024},
        {"column": "sector"},
        {"segments": ("a",)},
        {"column": "sector", "segments": ("a", "a")},
        {"column": "sector", "segments": tuple(map(str, range(65)))},
        {"column": "sector", "segments": ("",)},
        {"column": "sector", "segments": tuple(map(str, range(64)))},  # 66,560 cells
    ],
)
def test_a_question_that_is_none_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Question(**facts)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"bins": 8}', "{" * 5000, '{"split": "train"}', "x" * 40_000])
def test_a_question_that_is_no_json_of_ours_is_refused_and_uses_up_nothing(text: str, nodes: MakeNodes) -> None:
    banks, task = nodes(1), make_task(counts=EXACT)
    config = task.as_config(**{"server-round": 1, QUESTION: text})
    arrays = record_of({name: encode(value) for name, value in initial_arrays(task).items()})
    grid = InProcessGrid(app, banks.configs)
    (reply,) = grid.send_and_receive([Message(RecordDict({"config": config, ARRAYS: arrays}), 1, COUNTS)])
    assert reply.error.reason == "config"
    assert Evaluations.beside(Path(banks.configs[0]["ledger"]), "bank-0").answered("test") == 0


@pytest.mark.parametrize(
    "facts",
    [
        {"evaluations": 0},
        {"evaluations": 2, "epsilon": 0.0},
        {"evaluations": 2, "epsilon": 21.0},
        {"evaluations": 2, "delta": 0.0},
        {"evaluations": 2, "rows_per_company": 0},
    ],
)
def test_terms_that_are_none_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CountTerms(**facts)


def test_metrics_and_terms_say_the_same() -> None:
    for settings in (
        {"metrics": "noised"},
        {"metrics": "noised", "counts": EXACT},
        {"metrics": "exact", "counts": NOISED},
        {"metrics": "none", "counts": EXACT},
        {"counts": EXACT, "share": "body", "model": ModelSettings("mlp", hidden=4)},
    ):
        with pytest.raises(ConfigError, match="counts"):
            make_task(**settings)


def test_a_task_without_terms_is_written_as_before_there_were_any() -> None:
    assert '"counts"' not in make_task().to_json()
    task = make_task(counts=NOISED, metrics="noised")
    assert Task.from_json(task.to_json()) == task


# What stays at home, and what the counts are good for.


def test_an_institution_s_own_figures_stay_in_its_folder(nodes: MakeNodes, tmp_path: Path) -> None:
    import json

    banks, task = with_sectors(nodes(5)), make_task(counts=NOISED, metrics="noised", masking=MASKS)
    asked(banks, task, replace(BY_SECTOR, bins=32), roster=identities(banks, tmp_path))
    path = Path(banks.configs[2]["state"]) / "runs" / "test" / "evaluations" / "1.json"
    said = json.loads(path.read_text())
    own = pooled([banks.windows[2]], task, BY_SECTOR)
    assert said["segments"]["trade"]["bad"] == own[0, 1].sum()
    assert said["segments"]["mining"]["auc"] == auc_of_counts(own[1])
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_private_study_is_trained_and_evaluated_with_two_charges(nodes: MakeNodes) -> None:
    from server.app import conduct
    from tests.federation.conftest import make_order

    terms = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=1)
    sgd = LocalSettings("sgd", lr=0.1)
    banks, task = nodes(3), make_task(counts=NOISED, metrics="noised", privacy=terms, local=sgd)
    conduct(InProcessGrid(app, banks.configs), make_order(task, rounds=1))
    asked(banks, task, Question(bins=32))
    kinds = [kind for event, kind, _ in spent(banks) if event == "charge"]
    assert kinds == ["training", "metrics"]


def test_the_windows_keep_what_rows_are_counted_by(tmp_path: Path) -> None:
    windows = make_windows("bank-a", n=6)
    about = pd.DataFrame({"sector": list("abcabc"), "size": [1, 2, 3, 1, 2, 3], "amount": np.arange(6.0)})
    about["region"] = list("nnnsss")
    save(replace(windows, about=about), tmp_path / "w.npz")
    found = load(tmp_path / "w.npz").about
    assert found.to_dict("list") == {
        "size": ["1", "2", "3", "1", "2", "3"],
        "sector": list("abcabc"),
        "region": list("nnnsss"),
    }


def test_the_auc_of_noised_masked_counts_is_within_a_hundredth_at_epsilon_two(
    nodes: MakeNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks = nodes(5)
    for number, config in enumerate(banks.configs):
        banks.windows[number] = make_windows(str(config["institution"]), n=6000)  # a third of them held out
        save(banks.windows[number], Path(config["windows"]))
    task = make_task(counts=CountTerms(evaluations=1, epsilon=2.0), metrics="noised", masking=MASKS)
    everyone = join(banks.windows).part("validation")
    # A model that knows something: the weights that the rows were made with.
    arrays = initial_arrays(task)
    monkeypatch.setitem(globals(), "initial_arrays", lambda task: {n: _knowing(n, a) for n, a in arrays.items()})
    found = asked(banks, task, Question(bins=16, is_coarse=True), roster=identities(banks, tmp_path))
    told = noised_auc(found.of("all"), deviation=found.deviation)
    assert told is not None
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    model.load_state_dict({name: torch.from_numpy(_knowing(name, value)) for name, value in arrays.items()})
    p = probabilities(model, torch.from_numpy(everyone.x))
    assert told.auc == pytest.approx(auc(everyone.y, p), abs=0.01)
    assert told.noise_error < 0.002
    assert found.epsilon_metrics == 2.0
