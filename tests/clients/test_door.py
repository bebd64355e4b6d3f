"""The door: a question is let in once, of an allowed bundle, for a registered study, by a manifest that holds."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from clients.door import MAX_TASK_LETTERS, Door, ReplayRefused, StudyRefused
from clients.node import Question
from clients.wire import be_task
from fedcredit.errors import ConfigError
from fedcredit.federation.messages import MAX_TASK_BYTES, TRAIN
from fedcredit.federation.packing import PACKED, pack
from fedcredit.trust.bundle import BundleRefused
from fedcredit.trust.manifest import ManifestFile, ManifestRefused, StudyRule
from server.bundle import bundle
from tests.federation.conftest import make_task
from tests.test_journal import being_made
from tests.trust.consortium import manifest, sealed

TODAY = datetime.now(UTC).replace(microsecond=0)
OURS, OTHER = bundle().sha256, "c" * 64
STUDIES = tuple(
    StudyRule(name, "credit-risk", digests, {"type": "object"}, TODAY + timedelta(days=30))
    for name, digests in (("trial", (OURS,)), ("other", (OTHER,)))
)


def kept(folder: Path, *, since: timedelta = timedelta(days=1), **said: Any) -> ManifestFile:
    """A manifest with both studies, pinned some time ago."""
    file = ManifestFile(folder / "manifest.json")
    dated = {"issued": TODAY - since, "expires": TODAY + timedelta(days=30), "studies": STUDIES, **said}
    file.pin(sealed(**dated), fingerprint=manifest(**dated).root_fingerprint, now=TODAY - since)
    return file


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """The door of a node that has joined."""
    return Door(kept(tmp_path), tmp_path / "seen.sqlite")


def question(
    content: RecordDict | None = None, *, digest: str = OURS, key: str = "m1", study: str = "trial"
) -> Question:
    """A message as it came from the SuperLink."""
    be_task(run=1, node=7)
    config = make_task(study=study).as_config()
    message = Message(pack(RecordDict({"config": config})) if content is None else content, 7, TRAIN)
    message.metadata.__dict__["_message_id"] = key
    return Question(digest, message)


def test_a_door_that_another_process_makes_at_that_moment_is_waited_for(tmp_path: Path) -> None:
    with being_made(tmp_path / "seen.sqlite"):
        Door(kept(tmp_path), tmp_path / "seen.sqlite").let_in(question())


def test_a_message_that_was_delivered_twice_is_answered_once(door: Door) -> None:
    door.let_in(question())
    with pytest.raises(ReplayRefused):
        door.let_in(question())
    door.let_in(question(key="m2"))


def test_a_replayed_message_is_refused_after_a_restart_too(door: Door, tmp_path: Path) -> None:
    door.let_in(question())
    again = Door(ManifestFile(tmp_path / "manifest.json"), tmp_path / "seen.sqlite")
    with pytest.raises(ReplayRefused):
        again.let_in(question())
    again.let_in(question(key="m2"))
    with pytest.raises(ReplayRefused):
        door.let_in(question(key="m2"))


def test_what_was_refused_for_another_reason_may_come_again(door: Door) -> None:
    with pytest.raises(BundleRefused):
        door.let_in(question(digest=OTHER))
    door.let_in(question())


def test_a_message_is_remembered_as_long_as_it_could_come_again(door: Door, tmp_path: Path) -> None:
    door.let_in(question())
    with sqlite3.connect(tmp_path / "seen.sqlite") as seen:
        seen.execute("UPDATE seen SET at = at - 80 * 86400")
    seen.close()
    with pytest.raises(ReplayRefused):
        Door(ManifestFile(tmp_path / "manifest.json"), tmp_path / "seen.sqlite").let_in(question())


@pytest.mark.parametrize("study", ["none-such", ""])
def test_a_study_that_is_not_registered_is_refused(door: Door, study: str) -> None:
    with pytest.raises(StudyRefused):
        door.let_in(question(study=study))


def test_the_bundle_of_one_study_is_none_of_anothers(door: Door) -> None:
    with pytest.raises(BundleRefused, match="another study"):
        door.let_in(question(study="other"))


@pytest.mark.parametrize(
    "config",
    [
        ConfigRecord(),
        ConfigRecord({"task": 7}),
        ConfigRecord({"task": "no json"}),
        ConfigRecord({"task": "[" * 100_000}),
        ConfigRecord({"task": '["trial"]'}),
        ConfigRecord({"task": '{"study": ["trial"]}'}),
        ArrayRecord(),
    ],
    ids=range(7),
)
def test_what_names_no_study_is_refused(door: Door, config: ConfigRecord | ArrayRecord) -> None:
    for content in (RecordDict({"config": config}), pack(RecordDict({"config": config}))):
        with pytest.raises(StudyRefused):
            door.let_in(question(content))


def test_a_task_that_is_longer_than_any_is_not_parsed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_TASK_LETTERS == MAX_TASK_BYTES
    text = make_task(study="trial").to_json()
    door.let_in(question(RecordDict({"config": ConfigRecord({"task": text.ljust(MAX_TASK_LETTERS)})})))
    monkeypatch.setattr("clients.door.json.loads", lambda text: pytest.fail("parsed"))
    with pytest.raises(StudyRefused):
        door.let_in(
            question(RecordDict({"config": ConfigRecord({"task": text.ljust(MAX_TASK_LETTERS + 1)})}), key="m2")
        )


@pytest.mark.parametrize("junk", [b"\xff" * 100, b"\x0a\xff\xff", "text", 7, [b"\x80\x04"]])
def test_packed_junk_is_refused(door: Door, junk: Any) -> None:
    with pytest.raises(ConfigError):
        door.let_in(question(RecordDict({PACKED: ConfigRecord({PACKED: junk})})))


def test_an_expired_manifest_stops_the_node(tmp_path: Path) -> None:
    file = kept(tmp_path, since=timedelta(days=10), expires=TODAY - timedelta(days=1))
    door = Door(file, tmp_path / "seen.sqlite")
    with pytest.raises(ManifestRefused, match="expired"):
        door.let_in(question())
    with pytest.raises(ManifestRefused, match="expired"):
        door.known_bundle(OURS, bundle().content)


def test_an_older_manifest_put_in_the_place_of_the_newer_stops_the_node(tmp_path: Path) -> None:
    file = kept(tmp_path)
    door, older = Door(file, tmp_path / "seen.sqlite"), file.path.read_bytes()
    dated = {"issued": TODAY, "expires": TODAY + timedelta(days=30), "studies": STUDIES[1:]}
    file.accept(sealed(2, **dated), now=TODAY)
    with pytest.raises(StudyRefused):
        door.let_in(question())
    file.path.write_bytes(older)
    with pytest.raises(ManifestRefused):
        door.let_in(question())


def test_a_bundle_is_known_by_its_hash_and_its_content(door: Door) -> None:
    door.known_bundle(OURS, bundle().content)
    with pytest.raises(BundleRefused, match="hash"):
        door.known_bundle("d" * 64, bundle().content)
    with pytest.raises(BundleRefused, match="other content"):
        door.known_bundle(OURS, bundle().content + b" ")
