"""From a federated study at four nodes to a grade: every command in a process of its own, every question over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from experiments.decision.champion import IN_FORCE
from experiments.decision.companies import body_of, write_companies
from experiments.decision.plan import STEPS
from experiments.decision.walk import GATES, MODEL, STUDY
from experiments.demo.__main__ import settings_of
from experiments.demo.found import found, give_rows, home_in
from experiments.demo.run import running
from experiments.rows import rows_of, table_of
from tests.consortium.test_demo import left_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ANN, BEN = ("consortium/officers/ann.key", "consortium/officers/ben.key")
TRAINED, FIRST, CHALLENGER, MISTYPED = (f"models:/{MODEL}/{number}" for number in (1, 2, 3, 4))
STEP = ["--predictions", f"runs/{STUDY}/latest/predictions.parquet", "--out"]
BANK, BANKS, COMPANIES, ROUNDS = "bank-01", 4, 3200, 6


@dataclass
class Journey:
    """The folder where commands are typed, and what each step of the way showed."""

    folder: Path
    at: str = ""
    token: str = ""
    seen: dict[str, Any] = field(default_factory=dict)

    def type(self, *words: str) -> Any:
        """What `fedcredit ... --json` prints."""
        command = [sys.executable, "-m", "fedcredit", *words, "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return json.loads(done.stdout)

    def refusal(self, *words: str) -> str:
        """What a person sees of a refusal: the lines on stderr, with exit code 3 and nothing on stdout."""
        command = [sys.executable, "-m", "fedcredit", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=600)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        return done.stderr

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        method = "GET" if body is None else "POST"
        answer = httpx.request(method, self.at + path, json=body, headers=headers, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def version(self, role: str = "champion") -> str | None:
        """The version that the service answers with."""
        held = self.ask(IN_FORCE)[role]
        return held["version"] if held else None

    def wait_for(self, version: str, role: str = "champion") -> datetime:
        """The moment at which the service first answered with this version."""
        give_up = time.monotonic() + 120
        while self.version(role) != version:
            assert time.monotonic() < give_up, f"{role} is not version {version}"
            time.sleep(0.02)
        return datetime.now(UTC)

    def sign(self, version: str) -> None:
        for key in (ANN, BEN):
            self.type("model", "approve", version, "--key", key)


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The whole way, once; the consortium and the service run until the last test has looked."""
    folder = tmp_path_factory.mktemp("decision")
    way = Journey(folder)
    settings = settings_of(folder, institutions=BANKS, rounds=ROUNDS, seed=0)
    with home_in(folder):
        table = table_of(settings.data)
        windows = rows_of(settings, table)
        founded = found(folder, windows.institutions, study=STUDY)
        give_rows(founded, windows, label_definition=table.schema.label.definition)
        with running(founded):
            train(way)
            first_champion(way)
            with service(way):
                way.seen["first"] = way.ask("/score", ask_about(way))
                challenge_and_refuse(way)
                promote_and_roll_back(way)
                way.seen["service"] = way.ask("/score", ask_about(way))
                way.seen["published"] = way.type("model", "publish", MODEL)
                nodes = {name: way.type("node", "score", "companies.csv", "--home", home.folder.name)
                         for name, home in founded.nodes.items()}  # fmt: skip
                way.seen["nodes"] = nodes
                way.seen["history"] = way.type("model", "history", MODEL, "--verify")
                way.seen["versions"] = way.type("model", "list")
                yield way
    assert left_in(folder) == []


def train(way: Journey) -> None:
    economy = [f"data.economy.institutions={BANKS}", f"data.economy.companies={COMPANIES}"]
    asked = ["engine=superlink", "arms=[federated]", "seeds=[0]", f"recipe.rounds={ROUNDS}", "privacy.metrics=none"]
    judged = ["evaluation.splits=[validation,test]", "evaluation.draws=100", "targets=[]"]
    way.seen["study"] = way.type("study", "run", STUDY, *economy, *asked, *judged)


def first_champion(way: Journey) -> None:
    seen = way.seen
    seen["calibrated"] = way.type("model", "calibrate", TRAINED, *STEP, "first")
    seen["validated"] = way.type("model", "validate", FIRST, "--draws", "200")
    (way.folder / "gates.yaml").write_bytes(GATES.read_bytes())
    founding = ["model", "gates", "init", MODEL, "--consortium", "consortium", "--gates", "gates.yaml"]
    seen["gates of one"] = way.type(*founding, "--key", ANN)
    seen["gates of two"] = way.type("model", "gates", "sign", MODEL, "--key", BEN)
    seen["one"] = way.type("model", "approve", FIRST, "--key", ANN)
    seen["one twice"] = way.type("model", "approve", FIRST, "--key", ANN)
    seen["refused with one"] = way.refusal("model", "promote", FIRST)
    seen["two"] = way.type("model", "approve", FIRST, "--key", BEN)
    seen["promoted"] = way.type("model", "promote", FIRST)


def challenge_and_refuse(way: Journey) -> None:
    seen = way.seen
    way.type("model", "calibrate", TRAINED, *STEP, "other", "--method", "beta")
    way.type("model", "challenge", CHALLENGER)
    way.wait_for("3", "challenger")
    body = ask_about(way)
    companies = [{"company": f"C{number}", "rows": body["rows"]} for number in range(30)]
    seen["batch"] = way.ask("/score/batch", {"companies": companies})["scores"]
    way.type("model", "calibrate", TRAINED, *STEP, "mistyped", "--long-run-rate", "0.5")
    seen["mistyped"] = way.type("model", "validate", MISTYPED, "--draws", "200")["evidence"]["figures"]
    seen["unsigned"] = way.refusal("model", "approve", MISTYPED, "--key", ANN)  # nobody can sign it either
    seen["refused"] = way.refusal("model", "promote", MISTYPED)
    seen["after the refusal"] = way.version()


def promote_and_roll_back(way: Journey) -> None:
    seen = way.seen
    seen["beside"] = way.type("model", "validate", CHALLENGER, "--draws", "200")["evidence"]
    way.sign(CHALLENGER)
    seen["promoted over"] = way.type("model", "promote", CHALLENGER)
    way.wait_for("3")
    seen["second"] = way.ask("/score", ask_about(way))
    back: dict[str, Any] = {}
    watch = threading.Thread(target=lambda: back.update(at=way.wait_for("2")))
    watch.start()
    seen["rolled back"] = way.type("model", "rollback", MODEL, "--reason", "the journey goes back")
    watch.join(timeout=130)
    seen["answered"] = back["at"]


def ask_about(way: Journey) -> dict[str, Any]:
    """The request about one of a bank's companies, which is also in companies.csv for its node."""
    if "body" not in way.seen:
        economy = ["--companies", str(COMPANIES), "--months", "12", "--institutions", str(BANKS), "--seed", "1"]
        way.type("data", "economy", "economy", *economy)
        columns = [one["name"] for one in way.ask(IN_FORCE)["champion"]["indicators"]]
        out = way.folder / "companies.csv"
        rows = write_companies(way.folder / "economy", out=out, institution=BANK, columns=columns, most=20)
        way.seen["body"] = body_of(rows, str(rows["company"].iloc[0]), reasons="en")
    body: dict[str, Any] = way.seen["body"]
    return body


@contextmanager
def service(way: Journey) -> Iterator[None]:
    """`fedcredit serve score` in a process of its own, and an institution's token."""
    way.type("serve", "key")
    way.token = way.type("serve", "token", "--role", "institution", "--name", BANK)["token"]
    command = [sys.executable, "-m", "fedcredit", "serve", "score", "--model", MODEL, "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--challenger-share", "0.5"], cwd=way.folder, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        assert process.stdout is not None
        way.at = json.loads(process.stdout.readline())["listening"]
        yield
        process.terminate()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()  # which closes its pipe too


def test_the_study_trained_at_four_nodes_and_its_versions_are_registered(journey: Journey) -> None:
    (row,) = (one for one in journey.seen["study"]["rows"] if (one["institution"], one["split"]) == ("all", "test"))
    assert row["arm"] == "federated"
    assert 0 < row["epsilon_spent"] <= 3
    assert row["n"] > 500
    aliases = {one["version"]: one["aliases"] for one in journey.seen["versions"]}
    assert sorted(aliases) == [1, 2, 3, 4]
    assert "champion" in aliases[2]
    assert not any("champion" in aliases[number] for number in (1, 3, 4))


def test_the_validation_file_holds_figures_a_page_and_a_text(journey: Journey) -> None:
    made = journey.seen["validated"]
    figures, data = made["evidence"]["figures"], made["evidence"]["data"]
    assert figures["auc"]["low"] < figures["auc"]["value"] < figures["auc"]["high"]
    assert figures["epsilon"]["value"] <= figures["epsilon_budget"]["value"] == 3
    assert figures["quarantined"]["value"] == 0
    assert figures["delta_auc"]["value"] is None  # there was no champion to compare with
    assert (data["synthetic"], data["split"]) == (True, "test")
    files = {kind: journey.folder / path for kind, path in made["files"].items()}
    assert all(path.is_file() for path in files.values())
    text = files["md"].read_text(encoding="utf-8")
    assert "Annex IV" in text
    assert "征信业务管理办法" in text
    assert "<h1" in files["html"].read_text(encoding="utf-8")


def test_gates_and_a_promotion_take_two_different_officers(journey: Journey) -> None:
    seen = journey.seen
    assert (seen["gates of one"]["in_force"], seen["gates of two"]["in_force"]) == (False, True)
    assert (seen["one"]["needed"], seen["one twice"]["needed"], seen["two"]["needed"]) == (1, 1, 0)
    assert seen["two"]["signed_by"] == ["ann", "ben"]
    assert seen["refused with one"].startswith("error: ")
    assert "signature" in seen["refused with one"] or "signed" in seen["refused with one"]
    assert (seen["promoted"]["version"], seen["promoted"]["aliases"]) == ("2", "follow")


def test_a_company_gets_its_grade_with_reasons_over_http(journey: Journey) -> None:
    score = journey.seen["first"]
    assert score["model_version"].startswith(f"{STUDY}-{journey.seen['promoted']['bundle_sha256'][:12]}")
    assert 0 < score["pd"] < 1
    assert score["grade"] == score["reasons"]["grade"]
    first, *others = score["reasons"]["reasons"]
    assert first["name"] in first["text"]
    assert all(first["log_odds"] >= one["log_odds"] > 0 for one in others)


def test_the_challenger_answers_for_a_share_and_says_so(journey: Journey) -> None:
    by_arm: dict[str, set[str]] = {}
    for one in journey.seen["batch"]:
        by_arm.setdefault(one["arm"], set()).add(one["model_version"])
    assert set(by_arm) == {"champion", "challenger"}
    assert by_arm["champion"] == {journey.seen["first"]["model_version"]}
    assert by_arm["champion"].isdisjoint(by_arm["challenger"])


def test_a_refusal_names_gate_value_and_limit_and_changes_nothing(journey: Journey) -> None:
    ece = journey.seen["mistyped"]["ece"]["value"]
    assert ece > 0.2
    error, hint = journey.seen["refused"].splitlines()[-2:]
    assert error == f"error: gate 'calibration error': found ece {ece:g}, expected <= 0.06"
    assert hint.startswith("hint: mend the model or its data and validate it again")
    assert "grades hold their defaults" in hint
    assert "gate 'calibration error'" in journey.seen["unsigned"]
    assert journey.seen["after the refusal"] == "2"


def test_the_challenger_is_promoted_over_the_champion_that_it_was_compared_with(journey: Journey) -> None:
    beside = journey.seen["beside"]
    assert beside["against"]["bundle_sha256"] == journey.seen["promoted"]["bundle_sha256"]
    assert beside["figures"]["delta_auc"]["value"] == pytest.approx(0, abs=1e-6)  # the same ranks
    assert journey.seen["promoted over"]["version"] == "3"
    assert journey.seen["second"]["model_version"] not in ("", journey.seen["first"]["model_version"])


def test_after_a_rollback_the_service_answers_with_the_old_version_within_two_seconds(journey: Journey) -> None:
    back = journey.seen["rolled back"]
    (entry,) = (one for one in journey.seen["history"]["entries"] if one["event"] == "rolled-back")
    assert (journey.seen["answered"] - datetime.fromisoformat(entry["time"])).total_seconds() < 2
    assert back["seconds"] < 2
    assert back["version"] == "2"
    assert journey.version() == "2"
    assert journey.seen["service"]["pd"] == pytest.approx(journey.seen["first"]["pd"], abs=1e-9)


def test_every_node_keeps_the_champion_and_scores_as_the_service_does(journey: Journey) -> None:
    assert journey.seen["published"]["kept"] == sorted(journey.seen["nodes"])
    assert journey.seen["published"]["is_everywhere"]
    service = journey.seen["service"]
    for said in journey.seen["nodes"].values():
        assert said["promoted_by"] == ["ann", "ben"]
        (score,) = (one for one in said["scores"] if one["company"] == service["company"])
        assert (score["grade"], score["model_version"]) == (service["grade"], service["model_version"])
        assert score["pd"] == pytest.approx(service["pd"], abs=1e-6)


def test_the_history_verifies_and_tells_all_of_it(journey: Journey) -> None:
    history = journey.seen["history"]
    assert history["verified"]
    told = [one["event"] for one in history["entries"] if one["event"] not in ("begun", "intent")]
    assert told == ["founded", "refused", "promoted", "challenger", "refused", "promoted", "rolled-back"]
    gate = history["entries"][-4]
    assert gate["event"] == "refused"
    assert gate["gates"][:2] == ["calibration error", "grades hold their defaults"]


def test_the_demo_walks_the_same_way_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedcredit", "model", "demo", "--json"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert (told["promoted"]["version"], told["promoted_over"]["version"], told["rolled_back"]["version"]) == (
        *("2", "3"),
        "2",
    )
    assert told["refused"]["where"] == "gate 'calibration error'"
    assert told["node"]["pd"] == pytest.approx(told["service"]["pd"], abs=1e-6)
    assert "$ fedcredit model promote models:/fedcredit-quickstart/2" in done.stderr
    typed = [" ".join(line.split()[2:4]) for line in done.stderr.splitlines() if line.startswith("$ fedcredit ")]
    assert typed == [command for _, commands in STEPS for command in commands]  # what --dry-run tells
    assert list(tmp_path.glob("fedcredit-demo-*")) == []
    assert left_in(tmp_path) == []
