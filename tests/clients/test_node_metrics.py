"""What an institution's own Prometheus is told of its node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from clients.node_metrics import audited, collect, committed, serve_metrics
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.ledger import Account, Ledger
from fedcredit.privacy.mechanism import Mechanism
from fedcredit.privacy.statement import statements

STATUS = {
    "state": "running",
    "pid": os.getpid(),
    "worker_pid": 1,
    "worker_restarts": 2,
    "messages": 40,
    "refused": {"budget": 3, "91990001000000019G": 1},
    "last_message_at": "2026-11-24T10:00:00+00:00",
    "last_round_seconds": 0.25,
    "manifest_version": 7,
}


def values(home: Path) -> dict[str, float]:
    found = {}
    for family in collect(home):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[sample.name.removeprefix("fedcredit_node_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def write_status(home: Path, **more: object) -> None:
    (home / "run").mkdir(exist_ok=True)
    (home / "run" / "status.json").write_text(json.dumps({**STATUS, **more}))


def test_a_running_node_shows_messages_refusals_and_restarts(tmp_path: Path) -> None:
    write_status(tmp_path)
    found = values(tmp_path)
    assert (found["running"], found["messages_total"], found["worker_restarts_total"]) == (1, 40, 2)
    assert (found["refused_total{code=budget}"], found["refused_total{code=other}"]) == (3, 1)
    assert found["last_round_seconds"] == 0.25
    assert not any("91990001" in name for name in found)


def test_a_killed_node_is_not_running_whatever_its_status_says(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_status(tmp_path, pid=ended.pid)
    assert values(tmp_path)["running"] == 0
    write_status(tmp_path, state="stopped")
    assert values(tmp_path)["running"] == 0


def account(run: str, population: str = "companies") -> Account:
    return Account(run, "loans", "d" * 64, (population,), 1e-6)


def test_the_committed_budget_is_what_the_ledgers_own_statement_says(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", Ceilings(lifetime_epsilon=8.0))
    step = Mechanism("training", 2.0, sampling="poisson", sample_rate=0.1, count=5)
    (tmp_path / "policy.yaml").write_text("epsilon: {run: 3, lifetime: 8}\n")

    def said() -> float:
        return max(one.committed for one in statements(ledger.entries()))

    assert committed(tmp_path / "ledger.sqlite") is None
    ledger.plan(account("a"), [step.times(2)])
    ledger.charge(account("a"), step, number=1)
    assert committed(ledger.path) == pytest.approx(said())
    ledger.plan(account("b"), [step.times(4)])
    ledger.charge(account("a"), step, number=2)  # carries the figure of its own, older plan
    assert committed(ledger.path) == pytest.approx(said())
    ledger.plan(account("c", "others"), [step])
    assert committed(ledger.path) == pytest.approx(said())
    ledger.close("b")
    assert committed(ledger.path) == pytest.approx(said())
    found = values(tmp_path)
    assert 0 < found["epsilon_committed"] < found["epsilon_ceiling"] == 8


@pytest.mark.parametrize("text", ["", ": :", "epsilon: 3", "epsilon: {lifetime: many}", "- 1", "epsilon: {run: 1}"])
def test_a_policy_without_a_ceiling_shows_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    assert "epsilon_ceiling" not in values(tmp_path)


def test_audit_lines_are_counted_once_by_code_while_the_log_grows(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text(
        '{"event": "left", "facts": {}}\n{"event": "refused", "facts": {"code": "budget"}}\nbroken\n{"event": "le'
    )
    assert audited(log) == {"left": 1, "budget": 1, "unreadable": 1}
    with log.open("a") as more:
        more.write('ft"}\n')
    assert audited(log) == {"left": 2, "budget": 1, "unreadable": 1}
    log.write_text('{"event": "error", "facts": {"code": "egress"}}\n')
    assert audited(log) == {"egress": 1}


def test_an_empty_home_answers_with_its_disk(tmp_path: Path) -> None:
    served = serve_metrics(tmp_path, 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    finally:
        served.close()
    assert "fedcredit_node_disk_free_bytes" in text
    assert "fedcredit_node_running" not in text
