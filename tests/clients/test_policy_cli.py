"""`fedcredit node policy|leaves|log|verify`: what leaves is known before and after; what does not agree is shown."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clients.audit_entry import AuditBroken
from clients.audit_export import read_export
from clients.audit_log import AuditLog
from clients.facts import read_facts, set_facts, write_facts
from clients.home import NodeHome
from clients.node_cli import node
from clients.policy import AskRefused
from clients.policy_file import sign_policy
from fedcredit.data.windows import save
from fedcredit.errors import ConfigError
from fedcredit.federation.messages import DESCRIBE, EVALUATE, MASKED, SPENT, TRAIN
from fedcredit.privacy.ledger import Account, Ledger
from fedcredit.privacy.mechanism import Mechanism
from fedcredit.trust.keys import Identity
from fedcredit.trust.roster import write_roster
from tests.clients.governed import ask, code_of
from tests.clients.test_allowed import TASK, pinned
from tests.conftest import Nodes, make_windows

POLICY = """\
institution: bank-0
purposes: [credit-risk]
studies: ["*"]
require_masks: false
epsilon: {run: 2, lifetime: 8}
expires: 2099-12-31
"""
Said = Callable[..., str]


@pytest.fixture
def home(own_home: Path) -> NodeHome:
    """The folder of a node that has joined."""
    home = NodeHome(own_home / "bank-0").make()
    Identity.generate().save(home.identity)
    Identity.generate().save(home.officer)
    home.flower.touch()
    home.officer_public.write_text(Identity.load(home.officer).public.to_bytes().hex())
    write_facts(home, institution="bank-0", server_name="gateway.example")
    set_facts(home, **{"label-definition": "90 dpd"})
    save(make_windows("bank-0", n=90), home.windows)
    home.policy.write_text(POLICY)
    sign_policy(home.policy, officer=Identity.load(home.officer))
    write_roster(home.roster, {"bank-0": Identity.load(home.identity).public})
    pinned(home.folder)
    return home


@pytest.fixture
def said() -> Said:
    """What the command prints on stdout; its error is raised, an exit code of its own returned by name."""

    def run(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(node, [str(word) for word in words])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code
        return done.stdout

    return run


def bank(home: NodeHome) -> Nodes:
    return Nodes([dict(read_facts(home).node_config(home))], [])


def train(home: NodeHome, number: int, **change: Any) -> str:
    return code_of(ask(bank(home), TRAIN, replace(TASK, **change), number=number))


@pytest.fixture
def worked(home: NodeHome) -> NodeHome:
    """Three rounds of a study, a question that was refused, and the end of the run."""
    assert code_of(ask(bank(home), DESCRIBE, TASK)) == "none"
    assert [train(home, number) for number in (1, 2, 3)] == ["none"] * 3
    assert train(home, 4, seed=99) == "schema"
    assert [code_of(ask(bank(home), kind, TASK, number=4)) for kind in (EVALUATE, SPENT)] == ["none"] * 2
    return home


# The policy.


def test_show_says_what_is_allowed_and_whether_it_is_in_force(home: NodeHome, said: Said) -> None:
    assert "policy.yaml: signed" in said("policy", "show")
    found = json.loads(said("policy", "show", "--json"))
    assert (found["signed"], found["policy"]["epsilon"]["run"]) == (True, 2.0)
    home.policy.write_text(POLICY + "# edited\n")
    assert "NOT IN FORCE" in said("policy", "show")
    assert json.loads(said("policy", "show", "--json"))["signed"] is False


def test_check_holds_the_signature_and_reads_a_draft_without(home: NodeHome, said: Said, tmp_path: Path) -> None:
    assert "signed by the officer" in said("policy", "check")
    assert json.loads(said("policy", "check", "--json"))["signed"] is True
    draft = tmp_path / "draft.yaml"
    draft.write_text(POLICY)
    assert json.loads(said("policy", "check", draft, "--json"))["signed"] is False
    draft.write_text(POLICY + "epsilom: 3\n")
    with pytest.raises(ConfigError, match="epsilom"):
        said("policy", "check", draft)
    home.policy.write_text(POLICY + "# edited\n")
    with pytest.raises(AskRefused) as caught:
        said("policy", "check")
    assert caught.value.exit_code == 3


def test_sign_takes_the_officers_key_and_no_other(home: NodeHome, said: Said, tmp_path: Path) -> None:
    home.policy.write_text(POLICY.replace("run: 2", "run: 1"))
    assert train(home, 1) == "policy"
    Identity.generate().save(tmp_path / "other.key")
    with pytest.raises(ConfigError, match="another officer"):
        said("policy", "sign", "--key", tmp_path / "other.key")
    assert json.loads(said("policy", "sign", "--json"))["expires"] == "2099-12-31"
    assert train(home, 1) == "none"
    home.policy.write_text(POLICY.replace("bank-0", "bank-1"))
    with pytest.raises(ConfigError, match="bank-1"):
        said("policy", "sign")


def test_stop_and_resume_count_from_the_next_message_on(home: NodeHome, said: Said) -> None:
    assert train(home, 1) == "none"
    assert json.loads(said("policy", "stop", "--json")) == {"stopped": True, "signed": True}
    assert train(home, 2) == "stopped"
    assert said("policy", "resume").startswith("resumed")
    assert train(home, 2) == "none"


def test_without_the_officers_key_a_node_can_be_stopped_only(home: NodeHome, said: Said, tmp_path: Path) -> None:
    kept = tmp_path / "officer.key"
    home.officer.rename(kept)
    assert json.loads(said("policy", "stop", "--json")) == {"stopped": True, "signed": False}
    assert train(home, 1) == "policy"
    with pytest.raises(Exception, match=r"officer\.key"):
        said("policy", "resume")
    said("policy", "resume", "--key", kept)
    assert train(home, 1) == "none"


# What leaves.


def test_leaves_says_before_a_study_what_will_be_sent_and_on_which_terms(home: NodeHome, said: Said) -> None:
    found = json.loads(said("leaves", "pilot", "--json"))
    assert (found["purpose"], found["columns"], found["level"]) == ("credit-risk", ["debt", "cash", "growth"], 3)
    assert found["outlook"]["outcome"] == "granted"
    assert "privacy.clip" in found["outlook"]["left_open"]
    sent = {(field["message"], field["key"]): field["is_sent"] for field in found["fields"]}
    assert sent["train", "metrics.validation-good"] is False, "metrics: none in the schema"
    assert sent["train", "metrics.loss"] is False, "never under privacy"
    assert sent["query.spent", "metrics.epsilon"] is True
    shown = said("leaves", "pilot")
    assert "study pilot: for credit-risk" in shown
    assert "the node's own institution, in the operator's words" in shown


def test_every_field_of_the_contract_is_named_once(home: NodeHome, said: Said) -> None:
    from fedcredit.data.governance.contract import contracts

    fields = json.loads(said("leaves", "--json"))["fields"]
    named = [(field["message"], field["key"]) for field in fields]
    rules = [
        *(
            (name, f"{record}.{key}")
            for name, one in contracts().items()
            for record in one.records
            for key in one.records[record]
        ),
        *((name, "arrays") for name, one in contracts().items() if one.arrays is not None),
    ]
    assert sorted(named) == sorted(rules)


def test_what_was_said_before_covers_what_left(worked: NodeHome, said: Said) -> None:
    before = json.loads(said("leaves", "pilot", "--json"))["fields"]
    allowed = {(field["message"], field["key"]) for field in before if field["is_sent"] is not False}
    after = json.loads(said("leaves", "pilot", "--run", "test", "--json"))
    assert {(left["message"], key) for left in after["left"] for key in left["keys"]} <= allowed
    counts = {left["message"]: left["count"] for left in after["left"]}
    assert counts == {"query.describe": 1, "train": 3, "evaluate": 1, "query.spent": 1}
    assert after["bytes"] == sum(left["bytes"] for left in after["left"]) > 0
    assert (after["charges"], after["epsilon_of_run"], after["refused"]) == (3, 2.0, {"schema": 1})
    (trained,) = (left for left in after["left"] if left["message"] == "train")
    assert trained["arrays"] == ["head.bias [1]", "head.weight [1, 9]"]
    assert trained["rounds"] == [1, 2, 3]
    assert "3 charges, epsilon of the run 2" in said("leaves", "--run", "test")


def test_a_policy_that_refuses_the_study_is_told_before_it(home: NodeHome, said: Said) -> None:
    home.policy.write_text(POLICY.replace("credit-risk", "fraud"))
    said("policy", "sign")
    assert json.loads(said("leaves", "pilot", "--json"))["outlook"]["outcome"] == "refused"
    assert "refused; purpose: " in said("leaves", "pilot")
    home.policy.write_text(POLICY + "# edited\n")
    assert "NOT IN FORCE" in said("leaves", "pilot")


def test_a_study_or_run_that_is_not_known_is_said_so(worked: NodeHome, said: Said) -> None:
    with pytest.raises(ConfigError, match="not in the manifest, expected pilot"):
        said("leaves", "another")
    for words in (("--run", "another"), ("another", "--run", "latest")):
        with pytest.raises(ConfigError, match="does not know") as refused:
            said("leaves", *words)
        assert (": test;" in refused.value.hint) == (words[0] == "--run")


def test_the_latest_run_is_the_one_that_was_asked_last(worked: NodeHome, said: Said) -> None:
    assert said("leaves", "--run", "latest") == said("leaves", "--run", "test")
    assert train(worked, 1, run="newer") == "none"
    assert "run newer: 1 questions" in said("leaves", "pilot", "--run", "latest")
    with pytest.raises(ConfigError) as refused:
        said("leaves", "--run", "another")
    assert "newest first: newer, test" in refused.value.hint


def test_each_signing_has_a_number_that_is_on_record(home: NodeHome, said: Said) -> None:
    first = json.loads(said("policy", "sign", "--json"))["number"]
    said("policy", "stop")
    said("policy", "resume")
    lines = [(e["event"], e.get("number")) for e in json.loads(said("log", "--json"))["newest"]]
    assert lines[1:] == [("policy", first), ("policy", first + 1), ("policy", first + 2)]
    assert f"policy  number {first}" in said("log")
    assert f"number {first + 3}" in said("policy", "sign")


# The log.


def test_the_log_is_shown_and_verified(worked: NodeHome, said: Said) -> None:
    found = json.loads(said("log", "--json", "--last", 3))
    assert found["verified"] is True
    assert [one["event"] for one in found["newest"]] == ["refused", "left", "left"]
    shown = said("log")
    assert "chain and signatures verified" in shown
    assert "(epsilon 4 above the ceiling of a run: trained at 2)" in shown
    assert "newest" not in json.loads(said("log", "--verify", "--json"))


def test_an_exported_log_verifies_elsewhere_with_nothing_but_the_fingerprint(
    worked: NodeHome, said: Said, tmp_path: Path
) -> None:
    out = tmp_path / "bank-0.audit"
    made = json.loads(said("log", "--export", out, "--json"))
    worked.identity.unlink()
    found = json.loads(said("log", "--file", out, "--fingerprint", made["fingerprint"][:16], "--json"))
    assert (found["verified"], found["entries"]) == (True, made["entries"])
    assert read_export(out, fingerprint=made["fingerprint"]).institution == "bank-0"
    for fingerprint in ("", made["fingerprint"][:15], "0" * 16):
        with pytest.raises(AuditBroken, match="fingerprint"):
            said("log", "--file", out, "--fingerprint", fingerprint)
    lines = out.read_bytes().splitlines(keepends=True)
    hands = {
        "cut off": lines[:-1],
        "edited": [line.replace(b'"round":2', b'"round":9') for line in lines],
        "without a head": lines[1:],
        "of another head": [lines[0].replace(b'"entries": ', b'"entries": 1'), *lines[1:]],
    }
    for hand, changed in hands.items():
        out.write_bytes(b"".join(changed))
        assert changed != lines, hand
        with pytest.raises(AuditBroken):
            said("log", "--file", out, "--fingerprint", made["fingerprint"])


# The checker.


def faults(said: Said) -> list[str]:
    found = json.loads(said("verify", "--json", code=1))
    assert found["agree"] is False
    return [f"{fault['place']}: {fault['found']}" for fault in found["faults"]]


def test_a_node_whose_books_agree_is_verified(worked: NodeHome, said: Said) -> None:
    found = json.loads(said("verify", "--json"))
    assert (found["agree"], found["charges"], found["faults"]) == (True, 3, [])
    assert "nothing is lost" in said("verify")


def test_a_node_that_has_done_nothing_agrees_too(home: NodeHome, said: Said) -> None:
    assert json.loads(said("verify", "--json"))["agree"] is True


def test_a_charge_that_nobody_asked_for_is_found(worked: NodeHome, said: Said) -> None:
    ledger = Ledger(worked.ledger)
    last = ledger.entries()[-1]
    account = Account(last.run, last.study, last.dataset, (last.population,), last.delta)
    ledger.charge(account, last.spends, number=2)
    ledger.charge(Account("hidden", "s", "d", ("bank-0",), 1e-5), Mechanism("training", 50.0), number=1)
    found = faults(said)
    assert len(found) == 2
    assert "round 2, attempt 2" in found[0]
    assert "no question" in found[1]


def test_a_ledger_put_back_to_an_earlier_day_is_found(worked: NodeHome, said: Said, tmp_path: Path) -> None:
    for path in worked.folder.glob("ledger.sqlite*"):
        path.rename(tmp_path / path.name)
    assert ["a charge that the ledger does not have" in fault for fault in faults(said)] == [True] * 3


def test_a_log_that_was_edited_is_found_with_its_line(worked: NodeHome, said: Said) -> None:
    text = worked.audit_log.read_bytes()
    worked.audit_log.write_bytes(text.replace(b'"round":2', b'"round":7', 1))
    (fault,) = faults(said)
    assert "line" in fault
    assert "an entry that was edited" in fault


def test_an_update_that_left_without_its_charge_or_on_anothers_is_found(worked: NodeHome, said: Said) -> None:
    log = AuditLog(worked.audit_log, Identity.load(worked.identity))
    left = {"type": TRAIN, "run": "test", "round": 3, "account": "x", "bytes": 1, "records": {}, "arrays": []}
    entry = Ledger(worked.ledger).entries()[-1]
    log.append("left", {**left, "charge": None})
    log.append("left", {**left, "charge": {"entries": [[entry.seq, entry.hash]]}})
    log.append("left", {**left, "charge": None, "evaluates": True})
    log.append("left", {**left, "type": MASKED, "charge": None, "evaluates": True})  # this one trains nothing
    assert [fault.partition(": ")[2] for fault in faults(said)] == [
        "a private update that left without a charge",
        "a charge that had paid for another update",
        "a private update that left without a charge",
    ]


def test_shares_released_twice_are_found(worked: NodeHome, said: Said) -> None:
    log = AuditLog(worked.audit_log, Identity.load(worked.identity))
    left = {"type": "query.unmask", "run": "m", "plan": "00", "round": 1, "attempt": 0, "bytes": 1}
    log.append("left", left)
    log.append("left", {**left, "round": 2})
    assert json.loads(said("verify", "--json"))["agree"] is True
    log.append("left", left)
    (fault,) = faults(said)
    assert "had released" in fault


def test_two_sums_that_differ_over_one_model_are_found(worked: NodeHome, said: Said) -> None:
    from fedcredit.privacy.secagg.store import Store

    Store(worked.state / "masks.sqlite").close()
    with sqlite3.connect(worked.state / "masks.sqlite") as db:
        for attempt, names in enumerate((["a", "b", "c", "d"], ["a", "b", "c"])):
            db.execute("insert into signed values (x'01', ?, x'', x'02', 1, ?)", (json.dumps(names), attempt))
    db.close()
    (fault,) = faults(said)
    assert "difference may be one update" in fault


def test_a_node_killed_after_the_charge_still_agrees(
    worked: NodeHome, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the question, the ledger the charge, and nothing left."""
    from clients import app as client

    class Killed(BaseException):
        pass

    def killed(*arguments: Any, **settings: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(client, "pass_reply", killed)
        with pytest.raises(Killed):
            train(worked, 4)
    found = json.loads(said("verify", "--json"))
    assert (found["agree"], found["charges"]) == (True, 4)
    assert train(worked, 4) == "none"
    assert json.loads(said("verify", "--json"))["agree"] is True
