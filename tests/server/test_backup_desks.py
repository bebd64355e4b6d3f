"""Desks are backed up while people promote, come back with their histories whole, and never go back in time."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from fedcredit.registry import Registry
from server import backup_cli
from server.backup import Backup, backup
from server.backup_list import opened
from server.backup_seal import BackupBroken, seal
from server.promotion.aliases import follow_aliases
from server.promotion.desk import Desk
from server.promotion.rollback import rollback
from server.restore import Restored, restore, verify
from server.scoring.book import ScoreBook
from server.scoring.tokens import issue, new_key, revoke
from tests.conftest import small_files
from tests.server.promotion.world import NAME, World, found
from tests.server.scoring.world import Serving, made

PASSPHRASE = b"correct horse battery"


@dataclass
class Platform:
    """A consortium's folder and a folder of runs with one desk, two champions and a score book."""

    folder: Path

    def __post_init__(self) -> None:
        self.home, self.runs, self.backups = (self.folder / name for name in ("consortium", "runs", "backups"))
        self.home.mkdir(mode=0o700)
        (self.home / "consortium.yaml").write_text("name: demo\n")
        self.world: World = found(self.desk)
        shutil.rmtree(self.runs / "models" / f"workshop-{NAME}")
        self.world.workshop = self.folder / "workshop"
        self.champions = [self.world.promote(self.world.bundle(bias=bias)).bundle_sha256 for bias in (0.1, 0.2)]
        new_key(self.runs / "serving")
        scores = pd.DataFrame({"company": ["a"], "pd": [0.1], "coverage": [1.0], "model_version": ["1"]})
        with ScoreBook(self.desk / "scores.sqlite") as book:
            book.put(scores)
        (self.runs / "quick" / "20260101T000000Z").mkdir(parents=True)
        (self.runs / "quick" / "20260101T000000Z" / "predictions.parquet").write_bytes(b"rows of companies")

    @property
    def desk(self) -> Path:
        return self.runs / "models" / NAME

    def backup(self) -> Backup:
        return backup(self.home, self.backups, runs=self.runs, passphrase=PASSPHRASE)

    def restore(self, made: Backup, name: str = "new", *, seen: Path | None = None) -> Restored:
        """Into FOLDER/name and FOLDER/name-runs."""
        return restore(
            made.folder, self.folder / name, runs=self.folder / f"{name}-runs", seen=seen, passphrase=PASSPHRASE
        )

    def back(self, name: str = "new") -> Desk:
        return Desk(self.folder / f"{name}-runs" / "models" / NAME)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def champion(desk: Desk) -> str:
    promoted = desk.champion()
    assert promoted is not None
    return promoted.bundle_sha256


def test_a_restored_desk_has_its_champion_its_history_and_its_scores(platform: Platform) -> None:
    _, jti = issue(platform.runs / "serving", name="li", role="ops", days=1)
    revoke(platform.runs / "serving", jti.jti)
    made = platform.backup()
    back = platform.restore(made)
    desk = platform.back()
    assert [entry.hash for entry in desk.history(is_each=True)] == [
        entry.hash for entry in platform.world.desk.history()
    ]
    assert champion(desk) == platform.champions[-1]
    assert (desk.folder / "champion.json").read_bytes() == (platform.desk / "champion.json").read_bytes()
    assert desk.gates() == platform.world.desk.gates()
    with ScoreBook(desk.folder / "scores.sqlite") as book:
        assert book.latest("a") is not None
    serving = platform.folder / "new-runs" / "serving"
    for name in ("token.key", "token.pub", "revoked"):
        assert (serving / name).read_bytes() == (platform.runs / "serving" / name).read_bytes()
    assert (back.missing, [one.lines for one in back.desks]) == ((), [len(list(desk.history()))])
    assert (back.desks[0].bundle_sha256, back.desks[0].is_verified) == (platform.champions[-1], True)
    assert not (platform.folder / "new-runs" / "quick").exists()  # companies' predictions of studies


def test_a_restored_desk_goes_on_where_it_was(platform: Platform) -> None:
    made = platform.backup()
    platform.restore(made)
    desk = platform.back()
    assert rollback(desk, reason="a test").bundle_sha256 == platform.champions[0]
    with pytest.raises(BackupBroken):  # and is not the one that it was restored from any more
        platform.restore(made, "again", seen=platform.folder / "new-runs")


def test_keys_of_desks_and_tokens_are_sealed_and_for_their_owner_only(platform: Platform) -> None:
    made = platform.backup()
    assert made.runs is not None
    assert made.runs.keys == (f"models/{NAME}/desk.key", "serving/token.key")
    told = b"".join(path.read_bytes() for path in made.folder.rglob("*") if path.is_file())
    assert b"PRIVATE KEY" not in told
    assert (platform.desk / "desk.key").read_bytes() not in told
    platform.restore(made)
    for folder in (made.folder, platform.folder / "new-runs"):
        assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}


def test_without_a_passphrase_desks_come_back_without_keys_and_it_says_so(platform: Platform) -> None:
    made = backup(platform.home, platform.backups, runs=platform.runs)
    back = restore(made.folder, platform.folder / "new", runs=platform.folder / "new-runs")
    assert back.missing == (f"runs/models/{NAME}/desk.key", "runs/serving/token.key")
    assert [one.is_verified for one in back.desks] == [False]
    with pytest.raises(BackupBroken, match="no key to verify by"):
        restore(made.folder, None, runs=platform.folder / "other", seen=platform.runs)


PROMOTER = """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from server.promotion.rollback import rollback
    from server.promotion.standby import stand_by
    from tests.server.promotion.world import found

    world = found(Path(sys.argv[1]))
    world.workshop = Path(sys.argv[2])
    digests = [world.promote(world.bundle(bias=float(n))).bundle_sha256 for n in (1, 2)]
    number = 0
    while True:
        number += 1
        folder = world.bundle(bias=number / 100)
        digest = world.promote(folder).bundle_sha256
        print(world.desk.state().seq, digest, flush=True)
        stand_by(world.desk, "shadow", digests[0])
        rollback(world.desk, reason="a test")
"""


def test_a_backup_waits_for_who_holds_a_desk_and_has_what_that_one_signed(platform: Platform) -> None:
    desk, made = platform.world.desk, list[Backup]()
    copying = threading.Thread(target=lambda: made.append(platform.backup()))
    with desk.locked():
        desk.record("intent", {"bundle_sha256": platform.champions[0], "version": "1"})
        copying.start()
        copying.join(1.0)
        assert copying.is_alive()
        last = desk.record("mended", {"intent": desk.state().seq, "found": "a test"})
    copying.join(30.0)
    assert platform.restore(made[0]).desks[0].lines == last.seq
    assert platform.back().state().intent is None


@pytest.mark.slow
def test_what_was_promoted_before_a_backup_is_in_it_while_promotions_go_on(platform: Platform) -> None:
    busy = platform.runs / "models" / "fedcredit-busy"
    words = [sys.executable, "-c", textwrap.dedent(PROMOTER), str(busy), str(platform.folder / "busy")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as promoter:
        try:
            assert promoter.stdout is not None
            for number in range(4):
                seq, digest = 0, ""
                for _ in range(3):
                    said = promoter.stdout.readline().split()
                    seq, digest = int(said[0]), said[1]
                made = platform.backup()
                back = platform.restore(made, f"new-{number}")
                (told,) = (one for one in back.desks if one.model == "fedcredit-busy")
                assert told.lines >= seq
                desk = Desk(platform.folder / f"new-{number}-runs" / "models" / "fedcredit-busy")
                entries = list(desk.history(is_each=True))
                assert entries[seq - 1].facts["bundle_sha256"] == digest
                for one in desk.state().champions:
                    assert (desk.bundle(one.bundle_sha256) / "PROMOTION.json").exists()
                pointer = json.loads((desk.folder / "champion.json").read_text())
                desk.mend()
                assert json.loads((desk.folder / "champion.json").read_text()) == pointer  # of one moment
        finally:
            promoter.kill()


@pytest.mark.slow
def test_a_restored_service_answers_with_the_same_champion(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    shutil.rmtree(platform.runs)
    serving = Serving(platform.runs)
    serving.promote(made(seed=2, bias=0.3))
    serving.start()
    try:
        status, before, _ = serving.score()
        made_backup = platform.backup()
    finally:
        serving.stop()
    assert status == 200
    platform.restore(made_backup)
    serving.desk, serving.keys = (tmp_path / "new-runs" / name for name in (f"models/{NAME}", "serving"))
    serving.start()
    try:
        assert serving.score()[:2] == (200, before)
        assert serving.ask("GET", "/health", role=None)[1]["status"] == "ok"
    finally:
        serving.stop()


@pytest.mark.slow
def test_the_registry_comes_back_with_its_artifacts_wherever_it_is_put(platform: Platform) -> None:
    registry = Registry(platform.runs)
    run = registry.start_study("quick", config_sha256="c", schema_sha256="s", git_sha="g")
    version = registry.register(platform.desk / "bundles" / platform.champions[-1], run=run)
    registry.finish(run)
    follow_aliases(platform.world.desk, runs=platform.runs)
    platform.restore(platform.backup())
    platform.runs.rename(platform.folder / "lost")
    back = Registry(platform.folder / "new-runs")
    same = back.find(f"models:/{NAME}@champion")
    assert (same.sha256, same.version) == (platform.champions[-1], version.version)
    assert back.fetch(same).is_relative_to(platform.folder / "new-runs" / "mlartifacts")
    run = back.start_study("quick", config_sha256="c", schema_sha256="s", git_sha="g")
    again = back.register(platform.back().bundle(platform.champions[0]), run=run)
    assert back.fetch(again).is_relative_to(platform.folder / "new-runs" / "mlartifacts")
    assert again.version == version.version + 1


def test_a_restore_replaces_no_desk_and_says_how_much_older_it_is(platform: Platform) -> None:
    older = platform.backup()
    lines = len(list(platform.world.desk.history()))
    rollback(platform.world.desk, reason="a test")
    with pytest.raises(BackupBroken, match=f"{NAME} with {lines + 1} lines, where the backup's has {lines}"):
        restore(older.folder, None, runs=platform.runs, passphrase=PASSPHRASE)
    assert champion(platform.world.desk) == platform.champions[0]
    assert not list(platform.runs.glob(".*"))


def test_an_older_history_than_was_seen_is_refused_and_nothing_is_restored(platform: Platform) -> None:
    older = platform.backup()
    rollback(platform.world.desk, reason="a test")
    newer = platform.backup()
    lost = platform.runs.rename(platform.folder / "lost")
    with pytest.raises(BackupBroken, match="expected what goes on from line"):
        platform.restore(older, seen=lost)
    assert not (platform.folder / "new").exists()
    assert not (platform.folder / "new-runs").exists()
    copies = platform.folder / "copies" / NAME  # of the history alone, as on a third machine
    copies.mkdir(parents=True)
    shutil.copy(lost / "models" / NAME / "history.jsonl", copies)
    with pytest.raises(BackupBroken, match="what was signed since"):
        platform.restore(older, seen=platform.folder / "copies")
    platform.restore(newer, seen=lost)
    assert champion(platform.back()) == platform.champions[0]


def test_another_desks_history_is_no_earlier_one(platform: Platform) -> None:
    made = platform.backup()
    other = found(platform.folder / "elsewhere" / "models" / NAME)
    other.promote(other.bundle())
    with pytest.raises(BackupBroken, match="not its keeper's"):
        platform.restore(made, seen=platform.folder / "elsewhere")
    with pytest.raises(BackupBroken, match="nothing of these models"):
        platform.restore(made, seen=platform.folder / "backups")
    path = platform.desk / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b"promoted", b"promotet", 1))
    with pytest.raises(BackupBroken, match="says nothing about the backup"):
        platform.restore(made, seen=platform.runs)


def of_desk(made: Backup, name: str) -> Path:
    return made.folder / "runs" / "files" / "models" / NAME / name


def change_history(made: Backup) -> None:
    path = of_desk(made, "history.jsonl")
    path.write_bytes(path.read_bytes().replace(b"promoted", b"promotet", 1))


def cut_history(made: Backup) -> None:
    path = of_desk(made, "history.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def lose_history(made: Backup) -> None:
    of_desk(made, "history.jsonl").unlink()


def link_history(made: Backup) -> None:
    path = of_desk(made, "history.jsonl")
    path.rename(made.folder / "elsewhere")
    path.symlink_to(made.folder / "elsewhere")


def change_book(made: Backup) -> None:
    path = of_desk(made, "scores.sqlite")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def lose_list(made: Backup) -> None:
    (made.folder / "runs" / "backup.json").unlink()


def change_list(made: Backup) -> None:
    path = made.folder / "runs" / "backup.json"
    path.write_text(path.read_text().replace('"keys"', '"keys" ', 1))


def lose_seal(made: Backup) -> None:
    (made.folder / "runs" / "keys.sealed").unlink()


def take_desks_away(made: Backup) -> None:
    path = made.folder / "backup.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "runs": None}))


def nest_again(made: Backup) -> None:
    relist(made, lambda listed: listed | {"runs": "0" * 64})


def leave_the_folder(made: Backup) -> None:
    one = {"path": f"models/../../{NAME}", "bytes": 0, "sha256": "e" * 64, "wal": False}
    relist(made, lambda listed: listed | {"files": [*listed["files"], one]})


def relist(made: Backup, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """The desks' list changed, and the list above matched to it."""
    inner, outer = made.folder / "runs" / "backup.json", made.folder / "backup.json"
    inner.write_text(json.dumps(change(json.loads(inner.read_text()))))
    digest = hashlib.sha256(inner.read_bytes()).hexdigest()
    outer.write_text(json.dumps({**json.loads(outer.read_text()), "runs": digest}))


@pytest.mark.parametrize(
    "harm",
    [
        *(change_history, cut_history, lose_history, link_history, change_book, lose_list, change_list, lose_seal),
        *(take_desks_away, nest_again, leave_the_folder),
    ],
    ids=lambda harm: harm.__name__,
)
def test_desks_of_a_backup_that_is_not_whole_are_refused_whole(platform: Platform, harm: object) -> None:
    made = platform.backup()
    assert callable(harm)
    harm(made)
    before = sorted(path.name for path in platform.folder.iterdir())
    with pytest.raises(BackupBroken):
        platform.restore(made)
    assert sorted(path.name for path in platform.folder.iterdir()) == before


def test_a_registry_that_is_no_database_restores_nothing(platform: Platform) -> None:
    (platform.runs / "mlflow.db").write_text("x" * 5000)
    made = platform.backup()
    with pytest.raises(BackupBroken, match="DatabaseError"):
        platform.restore(made)
    assert not (platform.folder / "new-runs").exists()


def forged(line: bytes) -> bytes:
    return line.replace(b'"reason":"a test"', b'"reason":"no test"')


def test_a_history_that_was_rewritten_with_all_its_digests_does_not_verify(platform: Platform) -> None:
    """Whoever can write the backups, and has the passphrase too, still cannot sign for the desk."""
    rollback(platform.world.desk, reason="a test")
    made = backup(platform.home, platform.backups, runs=platform.runs, passphrase=PASSPHRASE)
    path = of_desk(made, "history.jsonl")
    path.write_bytes(b"".join(map(forged, path.read_bytes().splitlines(keepends=True))))
    data = path.read_bytes()

    def match(listed: dict[str, object]) -> dict[str, object]:
        files = listed["files"]
        assert isinstance(files, list)
        for one in files:
            if str(one["path"]).endswith("/history.jsonl"):
                one |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        return listed

    inner = opened(made.folder).runs()
    assert inner is not None
    keys = inner.keys(PASSPHRASE)
    relist(made, match)
    listed = (made.folder / "runs" / "backup.json").read_bytes()
    (made.folder / "runs" / "keys.sealed").write_bytes(seal(keys, passphrase=PASSPHRASE, beside=listed))
    with pytest.raises(BackupBroken, match=r"history\.jsonl, line"):
        platform.restore(made)
    assert not (platform.folder / "new-runs").exists()


def test_a_desk_that_does_not_verify_is_found_while_there_is_still_a_better_backup(platform: Platform) -> None:
    good = platform.backup()
    path = platform.desk / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b"promoted", b"promotet", 1))
    with pytest.raises(BackupBroken, match=NAME):
        backup(platform.home, platform.backups, runs=platform.runs, passphrase=PASSPHRASE, keep=1)
    assert [path.name for path in platform.backups.iterdir()] == [good.folder.name]


def test_runs_that_are_elsewhere_are_kept_as_they_are_and_a_full_disk_restores_nothing(platform: Platform) -> None:
    made = platform.backup()
    studies = platform.folder / "new-runs" / "quick"
    studies.mkdir(parents=True)
    (studies / "report.txt").write_text("a study that was there")
    with small_files(2000), pytest.raises(BackupBroken):
        platform.restore(made)
    assert [path.name for path in (platform.folder / "new-runs").iterdir()] == ["quick"]
    platform.restore(made)
    assert (studies / "report.txt").exists()
    assert champion(platform.back()) == platform.champions[-1]


def test_a_full_disk_keeps_no_half_of_the_desks(platform: Platform) -> None:
    good = platform.backup()
    with small_files(2000), pytest.raises(BackupBroken):
        platform.backup()
    assert [path.name for path in platform.backups.iterdir()] == [good.folder.name]
    verify(good.folder)


def test_desks_move_back_where_the_home_cannot_follow(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    made, rename = platform.backup(), Path.rename

    def full(path: Path, target: Path) -> Path:
        if target == platform.folder / "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(BackupBroken):
        platform.restore(made)
    assert not (platform.folder / "new-runs").exists()
    assert not (platform.folder / "new").exists()


def test_a_backup_without_desks_where_others_have_some_is_refused(platform: Platform) -> None:
    (platform.folder / "empty").mkdir()
    first = backup(platform.home, platform.backups, runs=platform.folder / "empty")  # before the first study
    assert first.runs is None
    with pytest.raises(BackupBroken, match="made with --runs"):
        restore(first.folder, None, runs=platform.folder / "new-runs")
    platform.backup()
    with pytest.raises(BackupBroken, match="no desks, where backups have some"):
        backup(platform.home, platform.backups, runs=platform.folder / "empty")
    for runs, into in ((platform.home / "runs", platform.backups), (platform.runs, platform.runs / "backups")):
        with pytest.raises(BackupBroken, match="inside of the"):
            backup(platform.home, into, runs=runs)


def test_a_backup_of_before_desks_were_in_it_is_still_restored(platform: Platform) -> None:
    made = backup(platform.home, platform.backups)
    path = made.folder / "backup.json"
    listed = json.loads(path.read_text())
    del listed["runs"]
    path.write_text(json.dumps({**listed, "schema": 1}))
    assert verify(made.folder)[1] is None
    assert restore(made.folder, platform.folder / "new").files == 1


def test_backup_and_restore_of_desks_on_the_command_line(platform: Platform) -> None:
    program = typer.Typer()
    program.command("backup")(backup_cli.backup)
    program.command("restore")(backup_cli.restore)
    secret = platform.folder / "passphrase"
    secret.write_bytes(PASSPHRASE + b"\n")
    secret.chmod(0o600)
    sealed = ["--passphrase-file", str(secret), "--json"]

    def said(*words: str) -> dict[str, object]:
        done = CliRunner().invoke(program, [*words], catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        told: dict[str, object] = json.loads(done.stdout)
        return told

    home, runs = str(platform.home), str(platform.runs)
    made = said("backup", str(platform.backups), "--home", home, "--runs", runs, *sealed)
    assert (made["has_desks"], made["keys_sealed"]) == (True, 2)
    assert said("restore", str(made["backup"]), "--verify", "--json")["has_desks"] is True
    new = ["--only-runs", "--runs", str(platform.folder / "new-runs"), "--seen", runs]
    back = said("restore", str(made["backup"]), *new, *sealed)
    assert back["home"] is None
    (desk,) = back["desks"] if isinstance(back["desks"], list) else []
    assert (desk["model"], desk["bundle_sha256"], desk["is_verified"]) == (NAME, platform.champions[-1], True)
    with closing(sqlite3.connect(platform.back().folder / "scores.sqlite")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert datetime.fromisoformat(desk["time"]) <= datetime.now(UTC)
