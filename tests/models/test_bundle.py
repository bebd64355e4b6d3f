"""A bundle is the same wherever it is read, scores a raw table, and refuses whatever was changed."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.errors import ModelError
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle, PriorShift
from fedcredit.models.calibrated import Beta, Isotonic, Temperature, calibrate
from fedcredit.models.factors import Factor
from fedcredit.models.nine_factor import NineFactor
from tests.conftest import small_files

SCHEMA = Schema(
    (Column("debt", "raw"), Column("sales", "raw", nullable=True)),
    Label("bad", definition="90 dpd"),
    company="id",
    period="month",
    institution="bank",
    lineage={"file": "east-bank.csv"},
)
INPUTS = ("debt", "sales", "sales_missing", "present")


FACTORS = (Factor("solvency", down=("debt",)), Factor("trade", up=("sales",)))


def made(kind: str = "lstm", *, time: int = 3, inputs: tuple[str, ...] = INPUTS, **more: Any) -> Bundle:
    settings = ModelSettings(kind, hidden=4, factors=FACTORS if kind == "nine_factor" else ())  # type: ignore[arg-type]
    weights = build(settings, features=inputs, time=time, seed=1).state_dict()
    facts: dict[str, Any] = {
        "config_sha256": "c" * 64,
        "git_sha": "abc",
        "roster": ("east", "west"),
        "epsilon": 3.0,
        "delta": 1e-5,
    }
    return Bundle("quick", settings, time, inputs, SCHEMA, weights, **(facts | more))


def panel() -> Table:
    """Company a has three months and one empty cell, b has only the last month."""
    rows = {
        "id": ["a", "a", "a", "b"],
        "bank": ["east"] * 4,
        "month": ["2024-01", "2024-02", "2024-03", "2024-03"],
        "debt": [1.0, 2.0, 3.0, 4.0],
        "sales": [1.0, None, 1.0, 1.0],
        "bad": [0, 0, 1, 0],
    }
    return Table(pd.DataFrame(rows), SCHEMA)


def change(folder: Path, file: str, content: bytes) -> None:
    """Change a file and its line in the manifest, as someone would who wants it to be believed."""
    (folder / file).write_bytes(content)
    lines = [line.split("  ") for line in (folder / "MANIFEST.sha256").read_text().splitlines()]
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for _, name in lines}
    (folder / "MANIFEST.sha256").write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))


def change_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "model.json").read_text())
    change(folder, "model.json", json.dumps(card | changes).encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bundles.write(tmp_path / "model", made())
    return tmp_path / "model"


@pytest.mark.parametrize("kind", ["logistic", "mlp", "lstm", "nine_factor"])
def test_bundle_comes_back_equal_in_weights_and_words(tmp_path: Path, kind: str) -> None:
    written = bundles.write(tmp_path / "model", made(kind, calibration=(PriorShift(0.5, 0.1),), ledger="run"))
    back = bundles.read(tmp_path / "model")
    assert back.card() == written.card()
    assert back.version == written.version
    assert back.version.startswith("quick-")
    assert all(torch.equal(back.weights[name], tensor) for name, tensor in written.weights.items())
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(back.model()(x), made(kind).model()(x))


def test_factors_are_kept_as_they_were_learnt(tmp_path: Path) -> None:
    bundles.write(tmp_path / "model", made("nine_factor"))
    back = bundles.read(tmp_path / "model")
    flagged = replace(FACTORS[1], free=("sales_missing",))
    assert back.settings.factors == (FACTORS[0], flagged)
    model = back.model()
    assert isinstance(model, NineFactor)
    assert model.factors == ("solvency", "trade")
    assert bundles.score(back, panel())["pd"].between(0, 1).all()


@pytest.mark.parametrize(
    ("factors", "found"),
    [
        ([{"name": "all", "up": ["debt"], "down": [], "free": []}], "no factor for 'sales'"),
        ([{"name": "all", "up": ["debt", "sales", "staff"], "down": [], "free": []}], "'staff'"),
        ([{"name": "all", "up": "debt", "down": [], "free": []}], "'debt'"),
        ([{"name": "all", "upward": ["debt"]}], "unknown key 'upward'"),
        ([{"name": "one", "up": ["debt"]}, {"name": "two", "down": ["debt"]}], "input 'debt' twice"),
        ({"name": "one"}, "str 'name'"),
        (7, "another form"),
    ],
)
def test_factors_of_a_card_are_not_believed(tmp_path: Path, factors: Any, found: str) -> None:
    bundles.write(tmp_path / "model", made("nine_factor"))
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    change_card(tmp_path / "model", architecture=card["architecture"] | {"factors": factors})
    with pytest.raises(ModelError, match=found):
        bundles.read(tmp_path / "model")


def test_a_card_from_before_there_were_factors_is_read(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text())
    del card["architecture"]["factors"]
    change_card(folder, architecture=card["architecture"])
    assert bundles.read(folder).settings.factors == ()


def test_equal_bundles_give_equal_bytes(tmp_path: Path) -> None:
    first, second = bundles.write(tmp_path / "a", made()), bundles.write(tmp_path / "b", made())
    assert first.sha256 == second.sha256
    assert bundles.write(tmp_path / "c", made(git_sha="other")).sha256 != first.sha256


def test_manifest_is_what_sha256sum_reads(folder: Path) -> None:
    for line in (folder / "MANIFEST.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_lineage_of_a_table_does_not_travel(folder: Path) -> None:
    assert "east-bank.csv" not in (folder / "model.json").read_text()


def test_same_bundle_may_be_written_again_and_another_may_not(folder: Path) -> None:
    before = (folder / "MANIFEST.sha256").read_bytes()
    bundles.write(folder, made())
    with pytest.raises(ModelError, match="not empty"):
        bundles.write(folder, made(git_sha="other"))
    assert (folder / "MANIFEST.sha256").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with small_files(1000), pytest.raises(ModelError, match="hint: free some space"):
        bundles.write(tmp_path / "model", made())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["weights.safetensors", "model.json"])
def test_changed_byte_is_found(folder: Path, file: str) -> None:
    content = bytearray((folder / file).read_bytes())
    content[-2] ^= 1
    (folder / file).write_bytes(bytes(content))
    with pytest.raises(ModelError, match=f"{file}: found content that differs from the manifest"):
        bundles.read(folder)


@pytest.mark.parametrize("file", ["weights.safetensors", "model.json", "MANIFEST.sha256"])
def test_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ModelError, match=f"{file}: found No such file"):
        bundles.read(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "MANIFEST.sha256", "", ".."])
def test_manifest_cannot_point_elsewhere(folder: Path, name: str) -> None:
    with (folder / "MANIFEST.sha256").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(ModelError, match="line 3"):
        bundles.read(folder)


def test_manifest_must_list_the_weights(folder: Path) -> None:
    lines = (folder / "MANIFEST.sha256").read_text().splitlines()
    (folder / "MANIFEST.sha256").write_text(f"{lines[0]}\n")
    with pytest.raises(ModelError, match=r"no line for weights\.safetensors"):
        bundles.read(folder)


def test_oversize_file_is_not_read_to_its_end(folder: Path) -> None:
    with (folder / "model.json").open("ab") as file:
        file.truncate(5 << 20)
    with pytest.raises(ModelError, match="an oversize file"):
        bundles.read(folder)


def test_pickle_is_never_loaded(folder: Path) -> None:
    change(folder, "weights.safetensors", pickle.dumps({"head.bias": [0.0]}))
    with pytest.raises(ModelError, match="unreadable tensors"):
        bundles.read(folder)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"schema": 3}, "schema 3"),
        ({"schema": True}, "schema True"),
        ({"scale": "house"}, "another scale"),
        ({"calibration": {"from_rate": 0.1, "to_rate": 0.5}}, "another form"),
        ({"calibration": [{"kind": "cubic"}]}, "a step of another kind"),
        ({"architecture": {"kind": "tree", "features": 4, "time": 3, "layers": 1}}, "'tree'"),
        ({"architecture": {"kind": "lstm", "hidden": 10**9, "layers": 1, "features": 4, "time": 3}}, "another size"),
        ({"architecture": {"kind": "lstm", "hidden": 4, "layers": 999, "features": 4, "time": 3}}, "layers 999"),
        ({"architecture": {"kind": "lstm", "hidden": 4, "layers": True, "features": 4, "time": 3}}, "another size"),
        (
            {"architecture": {"kind": "lstm", "hidden": 5, "layers": 1, "features": 4, "time": 3}},
            r"expected float32 \(20, 4\)",
        ),
        ({"architecture": {"kind": "lstm", "hidden": 4, "layers": 2, "features": 4, "time": 3}}, "missing"),
        ({"architecture": {"kind": "lstm", "depth": 4, "layers": 2, "features": 4, "time": 3}}, "another form"),
        ({"features": ["debt"]}, "another size"),
        ({"epsilon": -1}, "another form"),
        ({"epsilon": float("nan")}, "another form"),
        ({"delta": None}, "epsilon 3.0, delta None"),
        ({"roster": [1]}, "another form"),
        ({"schema_sha256": "0" * 64}, "transforms that differ"),
        ({"schema": 1, "calibration": {"from_rate": 0, "to_rate": 0.5}}, r"rates 0\.0 and 0\.5"),
        ({"calibration": [{"kind": "prior_shift", "from_rate": 0, "to_rate": 0.5}]}, r"rates 0\.0 and 0\.5"),
        ({"transforms": {}}, "no key 'columns'"),
    ],
)
def test_card_is_not_believed(folder: Path, changes: dict[str, Any], found: str) -> None:
    change_card(folder, **changes)
    with pytest.raises(ModelError, match=found):
        bundles.read(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_card_of_another_form_is_refused(folder: Path, content: bytes) -> None:
    change(folder, "model.json", content)
    with pytest.raises(ModelError, match=r"model\.json"):
        bundles.read(folder)


@pytest.mark.parametrize(
    ("name", "tensor", "found"),
    [
        ("head.bias", torch.tensor([float("nan")]), "NaN or infinity"),
        ("head.bias", torch.zeros(2), r"float32 \(2,\)"),
        ("head.bias", torch.zeros(1, dtype=torch.float64), r"float64 \(1,\)"),
        ("_module.head.bias", torch.zeros(1), "too many"),
    ],
)
def test_weights_that_do_not_fit_are_not_written(tmp_path: Path, name: str, tensor: torch.Tensor, found: str) -> None:
    wrong = replace(made(), weights={**made().weights, name: tensor})
    with pytest.raises(ModelError, match=found):
        bundles.write(tmp_path / "model", wrong)
    assert list(tmp_path.iterdir()) == []


def test_score_is_the_sigmoid_of_the_logit_and_coverage_the_share_of_known_cells() -> None:
    model = made("logistic")
    weight = torch.zeros(1, 12)
    weight[0, 8] = 0.5  # the debt of the last month
    scores = bundles.score(replace(model, weights={"head.weight": weight, "head.bias": torch.zeros(1)}), panel())
    assert list(scores.columns) == ["company", "period", "pd", "model_version", "coverage"]
    assert scores["company"].tolist() == ["a", "b"]
    assert scores["period"].tolist() == ["2024-03", "2024-03"]
    assert scores["pd"].tolist() == pytest.approx([1 / (1 + exp(-1.5)), 1 / (1 + exp(-2))])
    assert scores["coverage"].tolist() == pytest.approx([5 / 6, 2 / 6])


def test_card_of_the_first_schema_is_still_read(folder: Path) -> None:
    change_card(folder, schema=1, calibration=None)
    assert bundles.read(folder).calibration == ()
    change_card(folder, schema=1, calibration={"from_rate": 0.5, "to_rate": 0.25})
    assert bundles.read(folder).calibration == (PriorShift(0.5, 0.25),)


def test_a_model_of_a_table_without_a_region_has_the_card_it_had_before_there_was_the_role(folder: Path) -> None:
    told = json.loads((folder / "model.json").read_text())["transforms"]
    assert {"size", "sector", "stratum"} < set(told)
    assert "region" not in told
    assert bundles.read(folder).schema.region is None


def test_a_region_comes_back_from_the_card_and_is_not_needed_to_score(tmp_path: Path) -> None:
    written = made()
    bundles.write(tmp_path / "model", replace(written, schema=replace(SCHEMA, region="province")))
    back = bundles.read(tmp_path / "model")
    assert (back.schema.region, back.schema.sha256) == ("province", SCHEMA.sha256)
    assert bundles.score(back, panel())["pd"].tolist() == bundles.score(written, panel())["pd"].tolist()


def test_steps_and_scale_come_back_from_the_card(tmp_path: Path) -> None:
    steps = (Temperature(1.5, -0.25), Beta(0.5, 1.0, 0.1), Isotonic((-2.0, 2.0), (-3.0, 1.0)), PriorShift(0.1, 0.02))
    bundles.write(tmp_path / "model", made(calibration=steps, scale="master19"))
    back = bundles.read(tmp_path / "model")
    assert (back.calibration, back.scale) == (steps, "master19")
    scores = bundles.score(back, panel())["pd"].to_numpy()
    assert scores == pytest.approx(calibrate(bundles.score(made(), panel())["pd"], steps))


def test_more_steps_than_a_reader_takes_are_not_written() -> None:
    with pytest.raises(ModelError, match="17 steps"):
        made(calibration=(PriorShift(0.5, 0.1),) * 17)


def test_calibration_moves_every_score() -> None:
    plain = bundles.score(made(), panel())["pd"].to_numpy()
    moved = bundles.score(made(calibration=(PriorShift(0.5, 0.1),)), panel())["pd"].to_numpy()
    assert moved / (1 - moved) == pytest.approx(plain / (1 - plain) / 9)


def test_split_column_does_not_cut_a_company_in_two() -> None:
    table = panel()
    frame = table.frame.assign(part=["train", "train", "test", "test"])
    cut = Table(frame, replace(table.schema, split="part"))
    pd.testing.assert_frame_equal(bundles.score(made(), cut), bundles.score(made(), table))


def test_model_of_one_period_scores_every_row_in_the_order_of_the_table() -> None:
    model = made("mlp", time=1, inputs=INPUTS[:3])
    scores = bundles.score(model, panel())
    assert scores["period"].tolist() == panel().frame["month"].tolist()
    assert scores["coverage"].tolist() == [1.0, 0.5, 1.0, 1.0]
    assert scores["pd"].dtype == np.float64


def test_table_of_another_schema_is_refused() -> None:
    other = replace(SCHEMA, label=replace(SCHEMA.label, definition="bankruptcy"))
    with pytest.raises(ModelError, match="which the model learnt from"):
        bundles.score(made(), Table(panel().frame, other))
