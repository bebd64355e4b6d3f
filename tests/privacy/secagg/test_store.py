"""The write-ahead record: once is once, on disk, for its owner only."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fedcredit.privacy.secagg.context import RoundId
from fedcredit.privacy.secagg.differencing import Summed
from fedcredit.privacy.secagg.refusals import DifferencingRefused, StageRefused
from fedcredit.privacy.secagg.store import Store
from fedcredit.trust.keys import KeyFileRefused
from tests.privacy.secagg.simulator import Federation, Identities
from tests.test_journal import being_made

AT = RoundId(b"p" * 32, 1, 0)
TOPIC = b"m" * 32
NAMES = frozenset({"ada", "bob", "cyd", "dan", "eve"})


def test_each_stage_is_passed_once() -> None:
    store = Store()
    store.advance(AT, before=None, after="dealt", state=b"1")
    with pytest.raises(StageRefused):
        store.advance(AT, before=None, after="dealt", state=b"2")
    store.advance(AT, before="dealt", after="uploaded", state=b"3")
    with pytest.raises(StageRefused):
        store.advance(AT, before="dealt", after="uploaded", state=b"4")
    assert store.round(AT, stage="uploaded") == b"3"


def test_of_many_threads_that_pass_a_stage_one_does(tmp_path: Path) -> None:
    path = tmp_path / "secagg.db"
    Store(path).advance(AT, before=None, after="dealt", state=b"")
    passed: list[int] = []

    def race(me: int) -> None:
        store = Store(path)
        try:
            store.advance(AT, before="dealt", after="uploaded", state=bytes([me]))
            passed.append(me)
        except StageRefused:
            pass
        finally:
            store.close()

    threads = [threading.Thread(target=race, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 1
    assert Store(path).round(AT, stage="uploaded") == bytes(passed)


def test_a_store_that_another_process_makes_at_that_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "secagg.db"
    with being_made(path):
        Store(path).advance(AT, before=None, after="dealt", state=b"")


def test_stage_survives_a_process_that_is_killed_right_after_it(tmp_path: Path) -> None:
    path = tmp_path / "secagg.db"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from fedcredit.privacy.secagg.context import RoundId\n"
        "from fedcredit.privacy.secagg.store import Store\n"
        "Store(Path(sys.argv[1])).advance(RoundId(b'p' * 32, 1, 0), before=None, after='dealt', state=b'kept')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert Store(path).round(AT, stage="dealt") == b"kept"
    with pytest.raises(StageRefused):
        Store(path).advance(AT, before=None, after="dealt", state=b"again")


def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secagg.db"
    store = Store(path)
    store.advance(AT, before=None, after="dealt", state=b"")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()
    path.chmod(0o640)
    with pytest.raises(KeyFileRefused, match="mode 0640"):
        Store(path)


def test_refused_set_leaves_the_stage_as_it_was() -> None:
    store = Store()
    for attempt, names in ((0, NAMES), (1, NAMES - {"eve"})):
        at = RoundId(b"p" * 32, 1, attempt)
        store.advance(at, before=None, after="uploaded", state=b"")
        if attempt == 0:
            store.advance(at, before="uploaded", after="signed", state=b"", signed=([TOPIC], Summed(names)))
            continue
        with pytest.raises(DifferencingRefused):
            store.advance(at, before="uploaded", after="signed", state=b"", signed=([TOPIC], Summed(names)))
        assert store.round(at, stage="uploaded") == b""
    assert store.signed_sums([TOPIC]) == [Summed(NAMES)]


def test_secrets_of_a_finished_round_are_gone_from_the_disk(tmp_path: Path, identities: Identities) -> None:
    federation = Federation.of(identities, 5)
    path = tmp_path / "ada.db"
    federation.stores["ada"] = Store(path)
    federation.restart("ada")
    federation.set_up()
    cohort = federation.deal(1)
    federation.deal(1, attempt=1)
    at = [RoundId.of(federation.plan, 1, attempt=attempt) for attempt in (0, 1)]
    kept = [federation.stores["ada"].round(a, stage="dealt")[-100:] for a in at]
    federation.unmask(federation.signatures(federation.uploads(federation.start(cohort))))
    assert all(federation.stores["ada"].round(a, stage="closed") == b"" for a in at)
    federation.stores["ada"].close()
    on_disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(secret in on_disk for secret in kept)
