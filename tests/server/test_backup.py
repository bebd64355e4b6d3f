"""A consortium's home is backed up while others write to it, and comes back with everything that was committed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedcredit.privacy.entry import verify_chain
from fedcredit.privacy.ledger import Ledger
from fedcredit.trust.keys import Identity, KeyFileRefused
from server import backup_cli
from server.backup import Backup, backup
from server.backup_seal import BackupBroken, read_passphrase
from server.consortium.home import Consortium
from server.consortium.settings import Settings
from server.consortium.verify import verify as checks
from server.metrics import collect
from server.restore import restore, verify
from tests.conftest import small_files

PASSPHRASE = b"correct horse battery"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A consortium with a CA, an officer, a SuperLink, a study and a running gateway."""
    home = tmp_path / "consortium"
    for name, text in {
        "consortium.yaml": "name: demo\n",
        "manifest.json": json.dumps({"body": {"version": 3}}),
        "manifest.seen": "3",
        "authority/ca.crt": "-----BEGIN CERTIFICATE-----\n",
        "authority/ca.key": "-----BEGIN PRIVATE KEY-----\nca\n",
        "superlink/secret": "s" * 32,
        "superlink/server.pem": "-----BEGIN EC PRIVATE KEY-----\nx\n",
        "studies/loans/20260101T000000Z/status.json": "{}",
        "studies/loans/20260101T000000Z/checkpoint/round-00001/state.json": '{"round": 1}',
        "run/superlink.pid": "7",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "officers").mkdir()
    Identity.generate().save(home / "officers" / "wang.key")
    (home / "studies" / "loans" / "latest").symlink_to("20260101T000000Z")
    with closing(sqlite3.connect(home / "superlink" / "state.db")) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE node (node_id INTEGER, status TEXT)")
        db.execute("INSERT INTO node VALUES (1, 'online')")
    return home


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_restored_home_has_every_byte_but_what_processes_keep(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups", passphrase=PASSPHRASE)
    back = restore(made.folder, tmp_path / "new", passphrase=PASSPHRASE)
    for name in ("consortium.yaml", "manifest.json", "manifest.seen", "authority/ca.key", "superlink/secret"):
        assert (tmp_path / "new" / name).read_bytes() == (home / name).read_bytes()
    assert (tmp_path / "new/studies/loans/20260101T000000Z/checkpoint/round-00001/state.json").exists()
    with closing(sqlite3.connect(tmp_path / "new" / "superlink" / "state.db")) as db:
        assert db.execute("SELECT * FROM node").fetchall() == [(1, "online")]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not (tmp_path / "new" / "run").exists()
    assert back.missing == ("officers/wang.key",)


def test_without_a_passphrase_no_key_is_in_a_backup_and_it_says_so(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups")
    assert made.keys == ()
    assert made.left_out == ("authority/ca.key", "officers/wang.key", "superlink/secret", "superlink/server.pem")
    assert b"PRIVATE KEY" not in all_bytes(made.folder)
    assert b"s" * 32 not in all_bytes(made.folder)
    assert restore(made.folder, tmp_path / "new").missing == made.left_out


def test_with_a_passphrase_keys_are_there_and_cannot_be_read(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups", passphrase=PASSPHRASE)
    assert b"PRIVATE KEY" not in all_bytes(made.folder)
    assert made.keys == ("authority/ca.key", "superlink/secret", "superlink/server.pem")
    assert restore(made.folder, tmp_path / "new").missing == (
        "authority/ca.key",
        "officers/wang.key",
        "superlink/secret",
        "superlink/server.pem",
    )


def test_an_officers_key_is_in_no_backup(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups", passphrase=PASSPHRASE)
    restore(made.folder, tmp_path / "new", passphrase=PASSPHRASE)
    assert not (tmp_path / "new" / "officers").exists()


def test_another_passphrase_opens_nothing_and_leaves_no_folder(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups", passphrase=PASSPHRASE)
    with pytest.raises(BackupBroken, match="does not open"):
        restore(made.folder, tmp_path / "new", passphrase=b"another passphrase")
    assert not (tmp_path / "new").exists()


def test_restored_keys_are_for_their_owner_only(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups", passphrase=PASSPHRASE)
    restore(made.folder, tmp_path / "new", passphrase=PASSPHRASE)
    for path in (tmp_path / "new").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_restore_never_overwrites(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups")
    before = all_bytes(home)
    with pytest.raises(BackupBroken, match="expected no folder, or an empty one"):
        restore(made.folder, home)
    assert all_bytes(home) == before
    (tmp_path / "empty").mkdir()
    assert restore(made.folder, tmp_path / "empty").files == len(made.files)


WRITER = """
    import itertools, json, sys, time
    from pathlib import Path
    from fedcredit.privacy.ledger import Account, Ledger
    from fedcredit.privacy.mechanism import Mechanism

    home, ledger = Path(sys.argv[1]), Ledger(Path(sys.argv[1]) / "ledger.sqlite")
    step = Mechanism("training", 2.0, sampling="poisson", sample_rate=0.1)
    account = Account("run", "loans", "d" * 64, ("companies",), 1e-6)
    ledger.plan(account, [step.times(1_000_000)])
    study = home / "studies" / "loans" / "20260101T000000Z" / "checkpoint"
    soon = 0.0

    def put(name, text):
        (home / "draft").write_text(text)
        (home / "draft").replace(home / name)

    for number in itertools.count(1):
        ledger.charge(account, step, number=number)
        folder = study / f".draft-{number}"
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(json.dumps({"round": number}))
        (folder / "arrays.safetensors").write_bytes(number.to_bytes(4, "big") * 1000)
        folder.rename(study / f"round-{number:05d}")
        for old in sorted(study.glob("round-*"))[:-2]:
            (old / "state.json").unlink()
            (old / "arrays.safetensors").unlink(missing_ok=True)
            old.rmdir()
        if time.monotonic() > soon:  # a member joins: what was seen is written first
            (home / "joining").touch()
            put("manifest.seen", str(number))
            put("manifest.json", json.dumps({"body": {"version": number}}))
            (home / "joining").unlink()
            soon = time.monotonic() + 0.2
        print(number, flush=True)
"""


@pytest.mark.slow
def test_everything_committed_before_a_backup_is_in_it_while_writes_go_on(home: Path, tmp_path: Path) -> None:
    shutil.rmtree(home / "studies" / "loans" / "20260101T000000Z" / "checkpoint")
    words = [sys.executable, "-c", textwrap.dedent(WRITER), str(home)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            for number, backups in ((30, "a"), (90, "b")):
                committed = 0
                while committed < number:
                    committed = int(writer.stdout.readline())
                version = json.loads((home / "manifest.json").read_text())["body"]["version"]
                made = backup(home, tmp_path / backups, passphrase=PASSPHRASE)
                _check(made, tmp_path / f"new-{backups}", committed=committed, version=version)
        finally:
            writer.kill()


def _check(made: Backup, new: Path, *, committed: int, version: int) -> None:
    restore(made.folder, new, passphrase=PASSPHRASE)
    entries = Ledger(new / "ledger.sqlite").entries()
    charged = [entry.round for entry in entries if entry.event == "charge"]
    assert charged == list(range(1, len(charged) + 1))
    assert len(charged) >= committed
    verify_chain(entries, where="ledger")
    found = json.loads((new / "manifest.json").read_text())["body"]["version"]
    assert found >= version
    if not (new / "joining").exists():  # else the writer stood still between the two, and the backup is of that moment
        assert int((new / "manifest.seen").read_text()) == found  # two files of one moment
    rounds = sorted((new / "studies/loans/20260101T000000Z/checkpoint").glob("round-*"))
    assert rounds
    newest = json.loads((rounds[-1] / "state.json").read_text())["round"]
    assert (rounds[-1] / "arrays.safetensors").read_bytes() == newest.to_bytes(4, "big") * 1000
    assert committed - 2 <= newest <= len(charged)  # no round without its charge


def test_a_restored_consortium_verifies_and_can_go_on(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    settings = Settings("sme-credit", "127.0.0.1:8443")
    kept, _ = Consortium.create(tmp_path / "consortium", settings, by=["wang"], threshold=1, now=now)
    made = backup(tmp_path / "consortium", tmp_path / "backups", passphrase=PASSPHRASE)
    restore(made.folder, tmp_path / "new", passphrase=PASSPHRASE)
    (tmp_path / "new" / "officers").mkdir(exist_ok=True)
    shutil.copy(tmp_path / "consortium/officers/wang.key", tmp_path / "new/officers")  # the officer brings it along
    back = Consortium.open(tmp_path / "new")
    assert back.current() == kept.current()
    assert [check for check in checks(back, now=now) if not check.is_fine and not check.is_warning] == []
    change = back.prepared("renew", lambda at: back.next_version(now=at), now=now)
    back.propose(change, by=back.keys((), change), now=now)
    assert back.current().version == 2


def change_file(made: Backup) -> None:
    path = made.folder / "files" / "manifest.json"
    path.write_text(path.read_text().replace("3", "9"))


def cut_file(made: Backup) -> None:
    os.truncate(made.folder / "files" / "superlink" / "state.db", 4096)


def lose_file(made: Backup) -> None:
    (made.folder / "files" / "consortium.yaml").unlink()


def link_file(made: Backup) -> None:
    path = made.folder / "files" / "consortium.yaml"
    shutil.move(path, made.folder / "elsewhere")
    path.symlink_to(made.folder / "elsewhere")


def change_list(made: Backup) -> None:
    path = made.folder / "backup.json"
    path.write_text(path.read_text().replace("loans", "loanz"))


def cut_seal(made: Backup) -> None:
    path = made.folder / "keys.sealed"
    path.write_bytes(path.read_bytes()[:-1])


def lose_seal(made: Backup) -> None:
    (made.folder / "keys.sealed").unlink()


def flood_list(made: Backup) -> None:
    (made.folder / "backup.json").write_text("[" * 100_000)


def lose_list(made: Backup) -> None:
    (made.folder / "backup.json").unlink()


@pytest.mark.parametrize(
    "harm",
    [change_file, cut_file, lose_file, link_file, change_list, cut_seal, lose_seal, flood_list, lose_list],
    ids=lambda harm: harm.__name__,
)
def test_a_backup_that_is_not_whole_is_refused_whole(home: Path, tmp_path: Path, harm: object) -> None:
    made = backup(home, tmp_path / "backups", passphrase=PASSPHRASE)
    assert callable(harm)
    harm(made)
    with pytest.raises(BackupBroken):
        restore(made.folder, tmp_path / "new", passphrase=PASSPHRASE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "consortium"]


def test_a_list_that_somebody_matched_to_changed_files_does_not_open_the_keys(home: Path, tmp_path: Path) -> None:
    made = backup(home, tmp_path / "backups", passphrase=PASSPHRASE)
    change_file(made)
    listed = json.loads((made.folder / "backup.json").read_text())
    data = (made.folder / "files" / "manifest.json").read_bytes()
    for one in listed["files"]:
        if one["path"] == "manifest.json":
            one.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (made.folder / "backup.json").write_text(json.dumps(listed))
    with pytest.raises(BackupBroken, match="does not open"):
        restore(made.folder, tmp_path / "new", passphrase=PASSPHRASE)


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "./evil", "a//evil", "", "consortium.yaml/x"])
def test_a_path_that_leaves_the_home_is_refused(home: Path, tmp_path: Path, path: str) -> None:
    made = backup(home, tmp_path / "backups")
    listed = json.loads((made.folder / "backup.json").read_text())
    listed["files"].append({"path": path, "bytes": 0, "sha256": "e" * 64, "wal": False})
    (made.folder / "backup.json").write_text(json.dumps(listed))
    with pytest.raises(BackupBroken, match="leaves the folder"):
        restore(made.folder, tmp_path / "new")


def test_a_damaged_database_is_found_while_there_is_still_a_better_backup(home: Path, tmp_path: Path) -> None:
    database = home / "superlink" / "state.db"
    good = backup(home, tmp_path / "backups", keep=1)
    data = bytearray(database.read_bytes())
    data[4096:4200] = b"\xff" * 104
    database.write_bytes(data)
    with pytest.raises(BackupBroken, match=r"state\.db"):
        backup(home, tmp_path / "backups", keep=1)
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [good.folder.name]


def test_a_full_disk_keeps_nothing_and_the_older_backup_stays(home: Path, tmp_path: Path) -> None:
    good = backup(home, tmp_path / "backups", keep=1)
    with small_files(40), pytest.raises(BackupBroken):
        backup(home, tmp_path / "backups", keep=1)
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [good.folder.name]
    assert verify(good.folder)[0].files == good.files


def test_only_whole_backups_beyond_the_newest_are_removed(home: Path, tmp_path: Path) -> None:
    into = tmp_path / "backups"
    old = [into / f"2026010{day}T000000Z" for day in range(1, 5)]
    for folder in old:
        shutil.copytree(backup(home, tmp_path / "first").folder, folder)
    (into / "20260105T000000Z").mkdir()  # not whole
    (into / "notes").mkdir()
    made = backup(home, into, keep=2)
    names = sorted(path.name for path in into.iterdir())
    assert names == sorted(["20260104T000000Z", "20260105T000000Z", "notes", made.folder.name])


def test_a_backup_inside_of_the_home_or_of_no_home_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupBroken, match="inside of the home"):
        backup(home, home / "backups")
    with pytest.raises(BackupBroken, match="no consortium"):
        backup(tmp_path / "nothing", tmp_path / "backups")


def test_the_metrics_say_when_the_last_backup_was(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "backups")
    found = {sample.name: sample.value for family in collect(home) for sample in family.samples}
    assert found["fedcredit_platform_backup_timestamp_seconds"] == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(("mode", "text"), [(0o644, "correct horse battery"), (0o600, "short"), (0o660, "x" * 20)])
def test_a_passphrase_that_others_read_or_guess_is_refused(tmp_path: Path, mode: int, text: str) -> None:
    path = tmp_path / "passphrase"
    path.write_text(text + "\n")
    path.chmod(mode)
    with pytest.raises(KeyFileRefused):
        read_passphrase(path)


def test_backup_and_restore_on_the_command_line(home: Path, tmp_path: Path) -> None:
    program = typer.Typer()
    program.command("backup")(backup_cli.backup)
    program.command("restore")(backup_cli.restore)
    secret = tmp_path / "passphrase"
    secret.write_bytes(PASSPHRASE + b"\n")
    secret.chmod(0o600)
    sealed = ["--passphrase-file", str(secret), "--json"]

    def said(*words: str) -> dict[str, object]:
        done = CliRunner().invoke(program, [*words], catch_exceptions=False)
        assert done.exit_code == 0
        found: dict[str, object] = json.loads(done.stdout)
        return found

    made = said("backup", str(tmp_path / "backups"), "--home", str(home), *sealed)
    assert made["left_out"] == ["officers/wang.key"]
    assert said("restore", str(made["backup"]), "--verify", "--json")["is_whole"] is True
    back = said("restore", str(made["backup"]), "--home", str(tmp_path / "new"), *sealed)
    assert back["missing"] == ["officers/wang.key"]
    assert (tmp_path / "new" / "authority" / "ca.key").exists()
