"""What is refused before the worker hears it is on record, or answered as what could not be recorded."""

from __future__ import annotations

from pathlib import Path

from flwr.app import ConfigRecord, Message, RecordDict

from clients.audit_log import AuditLog, read_log
from clients.unheard import MAX_TYPE, on_record
from clients.wire import be_task
from fedcredit.errors import NodeError
from fedcredit.federation.messages import TRAIN
from fedcredit.trust.bundle import BundleRefused
from fedcredit.trust.keys import Identity


def envelope(kind: str = TRAIN) -> Message:
    be_task(run=1, node=7)
    return Message(RecordDict({"config": ConfigRecord()}), 7, kind)


def test_a_refused_bundle_and_a_malformed_question_are_lines_of_the_log(tmp_path: Path) -> None:
    identity = Identity.generate()
    kept = AuditLog(tmp_path / "audit.jsonl", identity)
    faults = [BundleRefused("bundle", found="x", expected="y"), NodeError("question", found="junk", expected="one")]
    assert [on_record(kept, envelope(), fault) for fault in faults] == ["bundle", "node"]
    on_record(kept, envelope(f"train.{'x' * 100}"), faults[0])
    entries = list(read_log(kept.path, public=identity.public))[1:]
    assert [(one.event, one.facts["type"], one.facts["code"]) for one in entries[:2]] == [
        ("refused", TRAIN, "bundle"),
        ("refused", TRAIN, "node"),
    ]
    assert len(entries[2].facts["type"]) == MAX_TYPE


def test_what_cannot_be_recorded_is_answered_by_audit(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    kept = AuditLog(tmp_path / "audit.jsonl", Identity.generate())
    assert on_record(kept, envelope(), NodeError("question", found="junk", expected="one")) == "audit"
