"""Masked sums over real Flower messages: the mean is right, the platform has no update, and whoever lies is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.app import app
from fedcredit.errors import ConfigError, FederationError
from fedcredit.federation.arrays import decode, encode, record_of
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.masked import model_sha256
from fedcredit.federation.messages import ARRAYS, CONFIG, MASKED, SURVIVORS, UNMASK, WORDS, Masking, PrivacyTerms, Task
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.weights import cap_for, size_class, weight_units
from fedcredit.trust.keys import Identity
from fedcredit.trust.roster import write_roster
from server.app import Conducted, conduct
from tests.conftest import Nodes
from tests.federation.conftest import make_order, make_task

MakeNodes = Callable[..., Nodes]
Tamper = Callable[[str, Message, Message], Message]  # whose, what came in, the honest reply -> what is sent
NAMES = tuple(f"bank-{number}" for number in range(6))
TERMS = PrivacyTerms(epsilon=8.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=2)
SGD = LocalSettings("sgd", lr=1.0, steps=1)


class Watched:
    """The institutions' app; every message that passes is kept, and a reply may be exchanged."""

    def __init__(self, tamper: Tamper | None = None, incoming: Callable[[str, Message], None] | None = None) -> None:
        self.tamper, self.incoming = tamper, incoming
        self.seen: list[tuple[str, str, RecordDict]] = []

    def __call__(self, message: Message, context: Context) -> Message:
        name = str(context.node_config["institution"])
        if self.incoming is not None:
            self.incoming(name, message)
        reply = app(message, context)
        if self.tamper is not None:
            reply = self.tamper(name, message, reply)
        if reply.has_content():
            self.seen.append((name, message.metadata.message_type, RecordDict(dict(reply.content))))
        return reply


def identities(banks: Nodes, folder: Path) -> Path:
    """Give each bank an identity, and all of them the roster."""
    pinned = {}
    for config in banks.configs:
        path = folder / f"{config['institution']}.key"
        Identity.generate().save(path)
        pinned[config["institution"]] = Identity.load(path).public
        config |= {"identity": str(path), "roster": str(folder / "roster.json")}
    write_roster(folder / "roster.json", pinned)
    return folder / "roster.json"


def masked(
    banks: Nodes, folder: Path, *, served: ClientApp | None = None, task: Task | None = None, **settings: Any
) -> Conducted:
    plan = {"rounds": 2, "quorum": 4} | settings.pop("plan", {})
    groups = settings.pop("groups", (NAMES[: len(banks.configs)],))
    limit = settings.pop("limit", 16.0)
    order = make_order(task or make_task(masking=Masking(groups, limit), **settings), **plan)
    roster = identities(banks, folder)
    return conduct(InProcessGrid(served or app, banks.configs), dataclasses.replace(order, roster=roster))


def silent(name: str, kind: str) -> Tamper:
    """That institution's replies to one kind of message are errors: it has dropped out there."""

    def tamper(who: str, message: Message, reply: Message) -> Message:
        from clients.egress import refusal

        return refusal("internal", message) if (who, message.metadata.message_type) == (name, kind) else reply

    return tamper


def test_the_masked_mean_is_the_mean_weighted_by_capped_sizes_within_a_step_of_the_grid(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks, served = nodes(5), Watched()
    done = masked(banks, tmp_path, plan={"rounds": 1}, served=served)
    plain = nodes(5, state=str(tmp_path / "plain"))
    opened = Watched()
    conduct(InProcessGrid(opened, plain.configs), make_order(rounds=1, quorum=5))
    rows = {f"bank-{number}": 60 + 20 * number for number in range(5)}
    cap = cap_for({name: size_class(count) for name, count in rows.items()}, dropouts=1)  # four of five may be left
    weights = {name: weight_units(count, cap=cap) for name, count in rows.items()}
    assert max(weights.values()) <= sum(weights.values()) / 3
    updates = {who: content[ARRAYS] for who, kind, content in opened.seen if kind == "train"}
    for name, value in done.state.arrays.items():
        by_hand = sum(weights[who] * decode(arrays[name]).astype(float) for who, arrays in updates.items())
        np.testing.assert_allclose(value, by_hand / sum(weights.values()), rtol=0, atol=1e-6)


def test_no_message_of_a_masked_run_holds_an_update_a_weight_or_a_count_in_the_clear(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    served = Watched()
    done = masked(nodes(5), tmp_path, served=served)
    assert [len(record.institutions) for record in done.state.history] == [5, 5]
    assert {record.per_institution.get("bank-0", 0) for record in done.state.history} == {0}
    for _, kind, content in served.seen:
        assert "metrics" not in content
        if kind == MASKED:
            assert list(content[ARRAYS]) == [WORDS]
        elif kind.startswith("query") and kind != "query.describe":
            assert list(content) == [CONFIG]
            assert list(content[CONFIG]) == ["secagg"]
    described = [content[CONFIG] for _, kind, content in served.seen if kind == "query.describe"]
    assert [facts["rows"] for facts in described] == [32, 64, 64, 64, 128]


def test_one_masked_update_is_uniform_words(nodes: MakeNodes, tmp_path: Path) -> None:
    served = Watched()
    masked(nodes(5), tmp_path, served=served, plan={"rounds": 1})
    words = np.concatenate([decode(content[ARRAYS][WORDS]) for _, kind, content in served.seen if kind == MASKED])
    # 16 bins of some 10,000 words; a plain update has nearly all of its words in two of them.
    counts = np.histogram(words, bins=16, range=(0, 2**32))[0]
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 60


@pytest.mark.parametrize("kind", ["query.keys", MASKED])
def test_a_dropout_before_keys_or_before_upload_leaves_the_mean_of_the_others(
    kind: str, nodes: MakeNodes, tmp_path: Path
) -> None:
    done = masked(nodes(6), tmp_path, served=Watched(silent("bank-2", kind)))
    for record in done.state.history:
        assert record.institutions == [name for name in NAMES if name != "bank-2"]
    if kind == MASKED:
        # It had dealt shares for round 2 in the reply that was lost, and deals none twice.
        assert [record.quarantined for record in done.state.history] == [
            {"bank-2": "error-internal"},
            {"bank-2": "error-secagg-stage"},
        ]


def test_an_institution_that_is_not_there_when_the_run_begins_is_missing_and_the_others_go_on(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks = nodes(5)
    roster = identities(banks, tmp_path)
    order = make_order(make_task(run="absent", masking=Masking((NAMES[:5],), 16.0)), rounds=2, quorum=4)
    present = [config for config in banks.configs if config["institution"] != "bank-2"]
    done = conduct(InProcessGrid(app, present), dataclasses.replace(order, roster=roster))
    assert [record.institutions for record in done.state.history] == [["bank-0", "bank-1", "bank-3", "bank-4"]] * 2
    assert done.state.history[0].missing == ["bank-2"]


def test_an_institution_whose_reply_was_lost_is_back_after_one_more_round(nodes: MakeNodes, tmp_path: Path) -> None:
    rounds: list[int] = []

    def tamper(who: str, message: Message, reply: Message) -> Message:
        if message.metadata.message_type == MASKED:
            rounds.append(int(message.content[CONFIG]["server-round"]))
        return silent("bank-2", MASKED)(who, message, reply) if rounds and rounds[-1] == 1 else reply

    done = masked(nodes(6), tmp_path, served=Watched(tamper), plan={"rounds": 3})
    assert [len(record.institutions) for record in done.state.history] == [5, 5, 6]


@pytest.mark.parametrize("kind", [SURVIVORS, UNMASK])
def test_a_dropout_after_upload_stays_in_the_sum(kind: str, nodes: MakeNodes, tmp_path: Path) -> None:
    done = masked(nodes(6), tmp_path, served=Watched(silent("bank-2", kind)))
    assert [record.institutions for record in done.state.history] == [list(NAMES)] * 2


def test_a_sum_that_cannot_be_opened_is_asked_for_again_under_new_masks(nodes: MakeNodes, tmp_path: Path) -> None:
    asked: list[int] = []

    def tamper(who: str, message: Message, reply: Message) -> Message:
        if message.metadata.message_type == MASKED:
            asked.append(int(message.content[CONFIG]["attempt"]))
        is_first = message.metadata.message_type == UNMASK and len(asked) <= 5
        return silent(who, UNMASK)(who, message, reply) if is_first else reply

    done = masked(nodes(5), tmp_path, served=Watched(tamper), plan={"rounds": 1})
    assert done.state.history[0].institutions == list(NAMES[:5])
    assert sorted(set(asked)) == [1, 2]


def test_too_few_survivors_end_the_round_without_a_sum(nodes: MakeNodes, tmp_path: Path) -> None:
    def tamper(who: str, message: Message, reply: Message) -> Message:
        return silent(who, MASKED)(who, message, reply) if who in ("bank-3", "bank-4") else reply

    with pytest.raises(FederationError, match="round 1: found 0 good replies"):
        masked(nodes(5), tmp_path, served=Watched(tamper))


@pytest.mark.parametrize("odd", ["words", "dtype", "size", "stype"])
def test_masked_words_of_another_form_are_quarantined(odd: str, nodes: MakeNodes, tmp_path: Path) -> None:
    def tamper(who: str, message: Message, reply: Message) -> Message:
        if (who, message.metadata.message_type) != ("bank-1", MASKED):
            return reply
        words = decode(reply.content[ARRAYS][WORDS])
        changed = {"words": words ^ 1, "dtype": words.astype(np.int64), "size": words[:-1], "stype": words}[odd]
        array = encode(changed)
        if odd == "stype":
            array = dataclasses.replace(array, stype="pickle")
        content = RecordDict({ARRAYS: record_of({WORDS: array}), CONFIG: reply.content[CONFIG]})
        return Message(content, reply_to=message)

    done = masked(nodes(6), tmp_path, served=Watched(tamper), plan={"rounds": 1})
    assert done.state.history[0].institutions == [name for name in NAMES if name != "bank-1"]
    assert list(done.state.history[0].quarantined) == ["bank-1"]


def test_a_server_that_sends_different_models_to_different_institutions_gets_nothing(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    def incoming(who: str, message: Message) -> None:
        if (who, message.metadata.message_type) == ("bank-1", MASKED):
            arrays = {name: decode(array) + np.float32(0.5) for name, array in message.content[ARRAYS].items()}
            message.content[ARRAYS] = ArrayRecord({name: encode(value) for name, value in arrays.items()})

    done = masked(nodes(6), tmp_path, served=Watched(incoming=incoming), plan={"rounds": 1})
    # Its upload is signed over another model: the honest server leaves it out; a lying one could not cancel its masks.
    assert done.state.history[0].quarantined == {"bank-1": "secagg-context"}


def test_an_institution_that_was_asked_under_other_settings_is_left_out(nodes: MakeNodes, tmp_path: Path) -> None:
    def incoming(who: str, message: Message) -> None:
        if (who, message.metadata.message_type) == ("bank-1", MASKED):
            message.content[CONFIG] = ConfigRecord({**dict(message.content[CONFIG]), "cap": 1_000_000})

    done = masked(nodes(6), tmp_path, served=Watched(incoming=incoming), plan={"rounds": 1})
    assert done.state.history[0].quarantined == {"bank-1": "secagg-context"}


def test_an_update_beyond_the_limit_is_refused_at_home_and_never_wraps_around(nodes: MakeNodes, tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="secagg-encoding"):
        masked(nodes(5), tmp_path, limit=1e-3, local=LocalSettings("sgd", lr=10.0, batch_size=32))


def test_distributed_noise_needs_every_share_that_was_counted_on(nodes: MakeNodes, tmp_path: Path) -> None:
    terms = dataclasses.replace(TERMS, noise="distributed")
    settings: dict[str, Any] = {"privacy": terms, "local": SGD, "metrics": "none", "limit": 1024.0}
    with pytest.raises(FederationError, match="round 1"):
        masked(nodes(6), tmp_path, served=Watched(silent("bank-2", MASKED)), **settings)


def test_distributed_noise_bears_the_dropouts_that_it_was_sized_for(nodes: MakeNodes, tmp_path: Path) -> None:
    terms = dataclasses.replace(TERMS, noise="distributed", dropouts=1)
    settings: dict[str, Any] = {"privacy": terms, "local": SGD, "metrics": "none", "limit": 1024.0}
    done = masked(nodes(6), tmp_path, served=Watched(silent("bank-2", MASKED)), **settings)
    assert [len(record.institutions) for record in done.state.history] == [5, 5]
    assert 0 < done.epsilon["bank-0"] <= 8.0


def test_without_noise_to_speak_of_the_distributed_sum_is_a_step_of_sgd_on_clipped_gradients(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks = nodes(5)
    terms = PrivacyTerms(20.0, 1e-5, clip=1.0, sample_rate=1.0, steps=1, rounds=1, noise="distributed")
    done = masked(banks, tmp_path, privacy=terms, local=SGD, metrics="none", limit=1024.0, plan={"rounds": 1})
    x = np.concatenate([w.part("train").x.reshape(len(w.part("train")), -1) for w in banks.windows]).astype(float)
    y = np.concatenate([w.part("train").y for w in banks.windows]).astype(float)
    from server.app import initial_arrays

    before = {name: value.astype(float) for name, value in initial_arrays(make_task()).items()}
    error = 1 / (1 + np.exp(-(x @ before["head.weight"][0] + before["head.bias"][0]))) - y
    gradients = np.concatenate([x * error[:, None], error[:, None]], axis=1)
    gradients *= np.minimum(1, 1 / np.linalg.norm(gradients, axis=1))[:, None]
    moved = np.concatenate([done.state.arrays["head.weight"][0], done.state.arrays["head.bias"]])
    start = np.concatenate([before["head.weight"][0], before["head.bias"]])
    # 500 companies; the noise of the mean is some .003 in each of the ten numbers.
    np.testing.assert_allclose(moved - start, -gradients.mean(axis=0), atol=0.02)


def test_buckets_give_a_robust_strategy_one_mean_each(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(12)
    names = [f"bank-{number}" for number in range(12)]
    groups = tuple(tuple(sorted(names[number::3])) for number in range(3))
    order = make_order(
        make_task(masking=Masking(groups, 16.0)),
        strategy={"_target_": "flwr.serverapp.strategy.FedMedian"},
        rounds=2,
        quorum=12,
    )
    roster = identities(banks, tmp_path)
    done = conduct(InProcessGrid(app, banks.configs), dataclasses.replace(order, roster=roster))
    assert [record.institutions for record in done.state.history] == [sorted(names)] * 2


@pytest.mark.parametrize("groups", [(("a", "b"),), (("a", "b", "c"),), ((),), ()])
def test_two_institution_aggregation_is_refused(groups: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ConfigError, match="4 institutions or more each"):
        Masking(groups, 16.0)


def test_a_run_that_was_cut_goes_on_with_new_keys(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(5)
    roster = identities(banks, tmp_path)
    task = make_task(masking=Masking((NAMES[:5],), 16.0))
    for rounds in (2, 4):
        order = make_order(task, rounds=rounds, quorum=5, checkpoints=tmp_path / "checkpoint")
        done = conduct(InProcessGrid(app, banks.configs), dataclasses.replace(order, roster=roster))
    assert [record.round for record in done.state.history] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"steps": 2}, "one step of plain sgd"),
        ({"local": LocalSettings("adam", lr=0.01, steps=1)}, "one step of plain sgd"),
        ({"masking": None}, "masking, or local"),
    ],
)
def test_distributed_noise_without_an_argument_for_it_is_refused(changed: dict[str, Any], match: str) -> None:
    terms = dataclasses.replace(TERMS, noise="distributed", steps=changed.pop("steps", 1))
    settings = {"masking": Masking((NAMES,), 16.0), "local": SGD, "privacy": terms, "metrics": "none", **changed}
    with pytest.raises(ConfigError, match=match):
        make_task(**settings)


def test_a_task_of_masks_survives_its_journey() -> None:
    task = make_task(masking=Masking((NAMES,), 16.0))
    assert Task.from_json(task.to_json()) == task


def test_one_model_in_another_order_has_the_same_digest() -> None:
    # Else the rule of one set of institutions for sums over a model would not know it again.
    one, other = Array(np.ones(2)), Array(np.zeros(3))
    assert model_sha256(ArrayRecord({"a": one, "b": other})) == model_sha256(ArrayRecord({"b": other, "a": one}))
    assert model_sha256(ArrayRecord({"a": one, "b": other})) != model_sha256(ArrayRecord({"a": other, "b": one}))
