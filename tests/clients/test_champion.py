"""A node takes a model only from two officers, only whole, only later than its own; and scores with no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from typer.testing import CliRunner

from clients.app import app
from clients.champion import POINTER, Champion, ChampionRefused, champion_of, take
from clients.facts import read_facts, write_facts
from clients.home import NodeHome
from clients.node_cli import node
from fedcredit.data.schema import Table
from fedcredit.errors import FedCreditError
from fedcredit.federation.champion import CHAMPION, FILES, MAX_CHAMPION_BYTES, PROMOTION, Sent, task_of
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import CONFIG, DESCRIBE, PrivacyTerms
from fedcredit.models import bundle as bundles
from fedcredit.trust.envelope import SealBroken
from fedcredit.trust.promotion import PromotionRefused
from tests.clients.governed import code_of, govern, logged
from tests.clients.promoted import MODEL, SCHEMA, STUDY, TODAY, make_bundle, pin_manifest, promoted, promotion
from tests.conftest import Nodes
from tests.trust.consortium import identities

OFFICERS = {name: identities()[name].public for name in ("ann", "bob", "eve")}
MakeNodes = Callable[..., Nodes]


def taken(folder: Path, sent: Sent, **more: Any) -> Champion:
    return take(folder, sent.files, officers=OFFICERS, now=TODAY, **more)


def in_force(folder: Path) -> str:
    return champion_of(folder, None, officers=OFFICERS).bundle.sha256


def test_a_promoted_bundle_is_kept_whole_and_is_the_champion(tmp_path: Path) -> None:
    bundle, sent = promoted(tmp_path)
    found = taken(tmp_path / "node", sent)
    assert found.is_new
    assert found.promotion.by == ("ann", "bob")
    assert in_force(tmp_path / "node") == bundle.sha256
    assert {path.name for path in found.folder.iterdir()} == set(sent.files)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "node").rglob("*")} == {0}
    assert not taken(tmp_path / "node", sent).is_new  # the same again


def test_a_later_promotion_takes_its_place_and_an_older_one_never(tmp_path: Path) -> None:
    first, early = promoted(tmp_path, days=5)
    second, late = promoted(tmp_path, seed=2, days=6)
    taken(tmp_path / "node", early)
    taken(tmp_path / "node", late)
    with pytest.raises(PromotionRefused, match="later than that in force"):
        taken(tmp_path / "node", early)
    assert in_force(tmp_path / "node") == second.sha256
    (tmp_path / "bundle-1" / PROMOTION).write_bytes(promotion(first, days=6.5))  # rolled back, approved anew
    taken(tmp_path / "node", Sent.from_folder(tmp_path / "bundle-1"))
    assert in_force(tmp_path / "node") == first.sha256


def test_a_champion_that_is_approved_anew_is_in_force_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, early = promoted(tmp_path, days=5)
    taken(tmp_path / "node", early)
    (tmp_path / "bundle-1" / PROMOTION).write_bytes(promotion(bundle, days=6))

    def moved(*_: object) -> None:
        raise AssertionError("the folder of the champion in force was moved")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.rename", moved)
        taken(tmp_path / "node", Sent.from_folder(tmp_path / "bundle-1"))
    assert in_force(tmp_path / "node") == bundle.sha256


def test_of_two_bundles_approved_at_the_same_moment_the_first_stays(tmp_path: Path) -> None:
    bundle, one = promoted(tmp_path)
    _, other = promoted(tmp_path, seed=2)
    taken(tmp_path / "node", one)
    with pytest.raises(PromotionRefused):
        taken(tmp_path / "node", other)
    assert in_force(tmp_path / "node") == bundle.sha256


@pytest.mark.parametrize("by", [(), ("ann",), ("harbour", "other"), ("ann", "harbour")])
def test_fewer_than_two_officers_promote_nothing(tmp_path: Path, by: tuple[str, ...]) -> None:
    _, sent = promoted(tmp_path, by=by)
    with pytest.raises(SealBroken, match="2 of different people"):
        taken(tmp_path / "node", sent)
    assert not (tmp_path / "node" / POINTER).exists()


def test_one_person_under_two_names_is_one(tmp_path: Path) -> None:
    _, sent = promoted(tmp_path, by=("ann",))
    twice = {"ann": OFFICERS["ann"], "anna": OFFICERS["ann"]}
    with pytest.raises(SealBroken):
        take(tmp_path / "node", sent.files, officers=twice, now=TODAY)


def other_bundles_promotion(folder: Path, sent: Sent) -> dict[str, bytes]:
    return {**sent.files, PROMOTION: promotion(make_bundle(folder, seed=9))}


def edited_promotion(folder: Path, sent: Sent) -> dict[str, bytes]:
    return {**sent.files, PROMOTION: sent.files[PROMOTION].replace(b'"1"', b'"2"', 1)}


def changed_weights(folder: Path, sent: Sent) -> dict[str, bytes]:
    return {**sent.files, "weights.safetensors": sent.files["weights.safetensors"][:-1] + b"\x01"}


def no_promotion(folder: Path, sent: Sent) -> dict[str, bytes]:
    return {**sent.files, PROMOTION: b"[" * 9000}


def no_card(folder: Path, sent: Sent) -> dict[str, bytes]:
    return {**sent.files, "model.json": b""}


@pytest.mark.parametrize(
    "forge",
    [other_bundles_promotion, edited_promotion, changed_weights, no_promotion, no_card],
    ids=lambda f: f.__name__,
)
def test_a_forged_bundle_leaves_the_one_before_in_force(
    tmp_path: Path, forge: Callable[[Path, Sent], dict[str, bytes]]
) -> None:
    before, sent = promoted(tmp_path, days=5)
    taken(tmp_path / "node", sent)
    _, later = promoted(tmp_path, seed=2, days=6)
    with pytest.raises(FedCreditError):
        take(tmp_path / "node", forge(tmp_path, later), officers=OFFICERS, now=TODAY)
    assert in_force(tmp_path / "node") == before.sha256
    assert {path.name for path in (tmp_path / "node").iterdir()} == {before.sha256, POINTER, ".lock"}


def test_an_approval_that_has_ended_promotes_nothing_but_lets_what_it_promoted_stay(tmp_path: Path) -> None:
    bundle, sent = promoted(tmp_path, days=1)
    with pytest.raises(PromotionRefused, match="ended"):
        take(tmp_path / "node", sent.files, officers=OFFICERS, now=TODAY + timedelta(days=2))
    taken(tmp_path / "node", sent)
    assert in_force(tmp_path / "node") == bundle.sha256


@pytest.mark.parametrize("cut", ["_put", "_write_pointers"])
def test_a_crash_leaves_the_old_champion_or_the_new_one(
    tmp_path: Path, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, sent = promoted(tmp_path, days=5)
    taken(tmp_path / "node", sent)
    after, later = promoted(tmp_path, seed=2, days=6)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"clients.champion.{cut}", crash)
        with pytest.raises(KeyboardInterrupt):
            taken(tmp_path / "node", later)
    assert in_force(tmp_path / "node") == before.sha256
    assert taken(tmp_path / "node", later).bundle.sha256 == after.sha256


def test_a_model_too_many_bytes_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    with pytest.raises(FedCreditError, match="at most"):
        Sent({**sent.files, "weights.safetensors": bytes(MAX_CHAMPION_BYTES)})
    with pytest.raises(FedCreditError, match="other files"):
        Sent({**sent.files, "../weights": b""})
    assert Sent.from_text(sent.to_text()) == sent


# Over real messages.


@dataclass(frozen=True)
class Banks:
    """Banks with a manifest and a folder for champions."""

    nodes: Nodes
    folder: Path

    def ask(self, sent: Sent, *, files: dict[str, Any] | None = None, study: str = STUDY) -> Message:
        """The first bank's reply."""
        bundle = bundles.read(self.folder / "bundle-1")
        content = sent.content(task_of(bundle, study=study))
        if files is not None:
            content = RecordDict({CONFIG: content[CONFIG], FILES: ConfigRecord(files)})
        (reply,) = InProcessGrid(app, self.nodes.configs).send_and_receive([Message(content, 1, CHAMPION)])
        return reply


@pytest.fixture
def banks(nodes: MakeNodes, tmp_path: Path) -> Banks:
    made = nodes(1)
    govern(made, tmp_path, require_masks=True)
    pin_manifest(tmp_path / "manifest.json")
    for config in made.configs:
        config |= {"manifest": str(tmp_path / "manifest.json"), "champion": str(tmp_path / "champion")}
    return Banks(made, tmp_path)


def test_the_champion_comes_by_a_message_and_is_acknowledged_and_on_record(banks: Banks) -> None:
    bundle, sent = promoted(banks.folder)
    reply = banks.ask(sent)
    assert code_of(reply) == "none"
    assert dict(reply.content["metrics"]) == {"champion": 1}
    assert set(reply.content) == {"metrics"}
    assert in_force(banks.folder / "champion") == bundle.sha256
    assert dict(banks.ask(sent).content["metrics"]) == {"champion": 0}
    entries = [entry for entry in logged(banks.nodes) if entry.facts.get("type") == CHAMPION]
    assert [entry.event for entry in entries] == ["asked", "left", "asked", "left"]
    assert {entry.facts["bundle_sha256"] for entry in entries} == {bundle.sha256}
    assert entries[0].facts["decision"] == "granted"


@pytest.mark.parametrize(
    ("rules", "code"),
    [({"stopped": True}, "stopped"), ({"studies": ["other"]}, "study"), ({"purposes": ["marketing"]}, "purpose")],
)
def test_the_policy_may_refuse_a_model(banks: Banks, rules: dict[str, Any], code: str) -> None:
    _, sent = promoted(banks.folder)
    govern(banks.nodes, banks.folder, **rules)
    assert code_of(banks.ask(sent)) == code
    assert not (banks.folder / "champion").exists()
    assert logged(banks.nodes)[-1].event == "refused"


def test_a_study_that_is_not_in_the_manifest_brings_no_model(banks: Banks) -> None:
    _, sent = promoted(banks.folder)
    assert code_of(banks.ask(sent, study="unknown")) == "study"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({PROMOTION: b"{}"}, "seal"),
        ({"weights.safetensors": b"\x80\x04pickle"}, "champion"),
        ({"extra.py": b"import os"}, "config"),
        ({"weights.safetensors": "text"}, "config"),
    ],
)
def test_a_forged_message_is_a_code_and_changes_nothing(banks: Banks, change: dict[str, Any], code: str) -> None:
    _, sent = promoted(banks.folder)
    assert code_of(banks.ask(sent, files={**sent.files, **change})) == code
    assert not (banks.folder / "champion" / POINTER).exists()


def test_a_model_of_one_officer_and_an_older_one_are_answered_by_a_code(banks: Banks) -> None:
    _, sent = promoted(banks.folder, by=("eve",))
    assert code_of(banks.ask(sent)) == "seal"
    _, late = promoted(banks.folder, seed=2, days=6)
    assert code_of(banks.ask(late)) == "none"
    (banks.folder / "bundle-1" / PROMOTION).write_bytes(promotion(bundles.read(banks.folder / "bundle-1"), days=5))
    assert code_of(banks.ask(Sent.from_folder(banks.folder / "bundle-1"))) == "promotion"


@pytest.mark.parametrize("rows", ["none", "not told", "not a table"])
def test_a_node_that_trains_on_no_rows_takes_the_champion_and_trains_nothing(banks: Banks, rows: str) -> None:
    bundle, sent = promoted(banks.folder)
    (config,) = banks.nodes.configs
    if rows == "not a table":
        Path(config["windows"]).write_bytes(b"PK\x03\x04 cut off")
    else:
        Path(config["windows"]).unlink()
    if rows == "not told":
        del config["windows"], config["label-definition"]
    reply = banks.ask(sent)
    assert (code_of(reply), dict(reply.content["metrics"])) == ("none", {"champion": 1})
    assert in_force(banks.folder / "champion") == bundle.sha256
    assert [entry.event for entry in logged(banks.nodes)][-2:] == ["asked", "left"]
    (asked,) = InProcessGrid(app, banks.nodes.configs).send_and_receive(
        [Message(RecordDict({CONFIG: sent.content(task_of(bundle, study=STUDY))[CONFIG]}), 1, DESCRIBE)]
    )
    assert code_of(asked) == ("config" if rows == "not told" else "table")  # whatever is about rows needs rows
    govern(banks.nodes, banks.folder, stopped=True)
    assert code_of(banks.ask(sent)) == "stopped"  # the policy still decides


def test_no_row_is_read_for_a_champion_where_there_are_rows(banks: Banks, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, sent = promoted(banks.folder)

    def opened(path: Path) -> None:
        raise AssertionError(f"{path.name} was opened")

    monkeypatch.setattr("clients.institution.load", opened)
    assert code_of(banks.ask(sent)) == "none"
    assert in_force(banks.folder / "champion") == bundle.sha256


def test_a_champion_whose_task_names_privacy_touches_no_ledger(banks: Banks) -> None:
    bundle, sent = promoted(banks.folder)
    terms = PrivacyTerms(epsilon=1.0, delta=1e-5, clip=1.0, sample_rate=0.1, steps=1, rounds=1)
    content = sent.content(replace(task_of(bundle, study=STUDY), privacy=terms))
    (reply,) = InProcessGrid(app, banks.nodes.configs).send_and_receive([Message(content, 1, CHAMPION)])
    assert code_of(reply) == "none"
    assert not Path(banks.nodes.configs[0]["ledger"]).exists()


# `fedcredit node score`


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    made = NodeHome(tmp_path / "home").make()
    pin_manifest(made.manifest)
    return made


TABLE = pd.DataFrame({"company": ["a", "b"], "debt": [0.5, 2.0], "sales": [1.0, None]})


def score(home: NodeHome, table: Path, *words: str) -> str:
    done = CliRunner().invoke(node, ["score", str(table), "--home", str(home.folder), *words])
    if done.exception:
        raise done.exception
    return done.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "companies.csv"
    TABLE.assign(sales=[1.0, 3.0]).to_csv(path, index=False)
    return path


def test_the_node_scores_its_own_companies_as_the_platform_would(home: NodeHome, table: Path, tmp_path: Path) -> None:
    bundle, sent = promoted(tmp_path)
    taken(home.champion, sent)
    found = json.loads(score(home, table, "--json"))
    cells = pd.read_csv(table).assign(bad=0)
    expected = bundles.score(bundle, Table(cells, SCHEMA))
    assert [one["pd"] for one in found["scores"]] == pytest.approx(expected["pd"].tolist(), rel=1e-9)
    assert (found["model"], found["model_version"], found["promoted_by"]) == (MODEL, bundle.version, ["ann", "bob"])
    assert score(home, table, "--out", str(tmp_path / "scores.csv")).strip() == str(tmp_path / "scores.csv")
    assert pd.read_csv(tmp_path / "scores.csv")["company"].tolist() == ["a", "b"]


def test_a_node_that_only_scores_does_so_with_the_champion_that_came_by_a_message(
    banks: Banks, table: Path, tmp_path: Path
) -> None:
    bundle, sent = promoted(tmp_path)
    home = NodeHome(tmp_path / "scores-only").make()
    pin_manifest(home.manifest)
    write_facts(home, institution="bank-0", server_name="gateway")
    facts = read_facts(home).node_config(home)
    kept = ("policy", "officer", "audit", "identity")
    banks.nodes.configs[0] |= {key: value for key, value in facts.items() if key not in kept}
    assert not home.windows.exists()
    assert code_of(banks.ask(sent)) == "none"
    found = json.loads(score(home, table, "--json"))
    assert (found["bundle_sha256"], found["rows"], len(found["scores"])) == (bundle.sha256, 2, 2)
    assert not home.windows.exists()


def test_reasons_come_with_the_scores_where_they_are_asked_for(home: NodeHome, table: Path, tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    taken(home.champion, sent)
    cells = pd.DataFrame({"company": [f"c{n}" for n in range(30)], "debt": range(30), "sales": range(30, 0, -1)})
    cells.to_csv(table, index=False)
    plain = json.loads(score(home, table, "--json"))["scores"]
    found = json.loads(score(home, table, "--json", "--reasons", "zh"))["scores"]
    assert [one["pd"] for one in found] == pytest.approx([one["pd"] for one in plain])
    assert all("reasons" in one["reasons"] for one in found)
    assert "reasons" not in plain[0]
    score(home, table, "--reasons", "en", "--out", str(tmp_path / "scores.csv"))
    assert all(json.loads(one) for one in pd.read_csv(tmp_path / "scores.csv")["reasons"])


def test_without_a_champion_nothing_is_scored(home: NodeHome, table: Path) -> None:
    with pytest.raises(ChampionRefused, match="none that was verified here"):
        score(home, table)


def test_a_champion_that_was_changed_on_the_disk_scores_nothing(home: NodeHome, table: Path, tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    place = taken(home.champion, sent).folder
    (place / "model.json").write_bytes((place / "model.json").read_bytes() + b" ")
    with pytest.raises(ChampionRefused, match="differs from the manifest"):
        score(home, table)


def test_a_bundle_put_in_the_champions_place_scores_nothing(home: NodeHome, table: Path, tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    place = taken(home.champion, sent).folder
    make_bundle(tmp_path, seed=5)
    for name in ("model.json", "weights.safetensors", "MANIFEST.sha256"):
        (place / name).write_bytes((tmp_path / "bundle-5" / name).read_bytes())
    with pytest.raises(ChampionRefused, match="another bundle"):
        score(home, table)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"champions": {"m": 7}}', b'{"champions": {"m": {"made": "x"}}}'])
def test_a_pointer_of_another_form_scores_nothing(home: NodeHome, table: Path, tmp_path: Path, content: bytes) -> None:
    _, sent = promoted(tmp_path)
    taken(home.champion, sent)
    (home.champion / POINTER).write_bytes(content)
    with pytest.raises(ChampionRefused):
        score(home, table)


def test_officers_who_left_stand_for_no_champion(home: NodeHome, table: Path, tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    taken(home.champion, sent)
    others = {name: identities()[name].public for name in ("ann", "eve")}
    with pytest.raises(SealBroken):
        champion_of(home.champion, None, officers=others)


def test_a_table_of_other_columns_is_named(home: NodeHome, table: Path, tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    taken(home.champion, sent)
    TABLE.drop(columns="debt").to_csv(table, index=False)
    with pytest.raises(FedCreditError, match="debt"):
        score(home, table)


def test_two_models_have_a_champion_each_and_one_is_named(home: NodeHome, table: Path, tmp_path: Path) -> None:
    first, one = promoted(tmp_path)
    second, other = promoted(tmp_path, seed=2, model="cards")
    taken(home.champion, one)
    taken(home.champion, other)
    with pytest.raises(ChampionRefused, match="cards, fedcredit-quickstart"):
        score(home, table)
    found = json.loads(score(home, table, "--json", "--model", "cards"))
    assert found["bundle_sha256"] == second.sha256 != first.sha256
