"""The catalogue of public sets: only pinned files are read, a trap is refused, a set without licence is not taken."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fedcredit.data import datasets, fetch
from fedcredit.data.datasets import catalogue, dataset, load, locate
from fedcredit.errors import DatasetError, TrapRefused

FILE = "4_train_for_LSTM.csv"
LOCAL = dataset("american_w4").files[FILE].local
SHA256 = hashlib.sha256(b"content").hexdigest()


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and an empty mirror, so that nothing is found or downloaded by accident."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("FEDCREDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDCREDIT_DATA_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(datasets, "RAW", "http://127.0.0.1:9")  # nobody listens on the discard port
    return tmp_path


def put(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of the files in tmp_path/upstream."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    put(tmp_path / "upstream" / "file.csv")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "upstream")) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/file.csv"
        server.shutdown()
        thread.join()


def test_every_row_is_pinned_and_says_what_it_is() -> None:
    for row in catalogue().values():
        assert row.files
        assert len(row.commit) == 40
        assert all(len(file.sha256) == 64 for file in row.files.values())
        assert all((row.title, row.licence, row.unit, row.splits, row.label))


def test_an_address_names_the_commit_and_not_a_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert dataset("american_w4").address(FILE) == (
        "https://raw.githubusercontent.com/sowide/multi-head_LSTM_for_bankruptcy-prediction/"
        "a6bd81bae413d9e5fad2cd4a464695b702be487b/datasets_for_LSTM/4_train_for_LSTM.csv"
    )


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_declared_trap_is_refused_with_its_reason(name: str) -> None:
    for trap, why in dataset(name).traps.items():
        with pytest.raises(TrapRefused) as caught:
            load(name, columns=[trap])
        assert caught.value.hint == why
        assert caught.value.exit_code == 3


def test_capitals_do_not_hide_a_trap() -> None:
    with pytest.raises(TrapRefused, match=r"AUC \.977 with it"):
        load("sba", columns=["NoEmp", "TERM"])


def test_an_unknown_file_of_a_set_is_refused() -> None:
    with pytest.raises(DatasetError, match="expected one of 4_train_for_LSTM"):
        locate("american_w4", "5_train_for_LSTM.csv")


def test_a_misspelt_set_is_answered_with_its_nearest_name() -> None:
    with pytest.raises(DatasetError, match="did you mean american_w4"):
        load("american_w44")


def test_a_wrong_checksum_names_file_found_and_expected(places: Path) -> None:
    path = put(places / "mirror" / LOCAL, b"something else")

    with pytest.raises(DatasetError) as caught:
        locate("american_w4", FILE)

    assert caught.value.where == str(path)
    assert caught.value.found == f"sha256 {hashlib.sha256(b'something else').hexdigest()}"
    assert caught.value.expected == f"sha256 {dataset('american_w4').files[FILE].sha256}"


def test_a_file_changed_after_it_was_verified_is_verified_again(places: Path) -> None:
    path = put(places / "mirror" / "file.csv")
    assert fetch.fetch("file.csv", SHA256, address="") == path

    put(path, b"tampered with")

    with pytest.raises(DatasetError, match="not the pinned file"):
        fetch.fetch("file.csv", SHA256, address="")


def test_an_unreadable_file_in_the_mirror_is_named(places: Path) -> None:
    (places / "mirror" / LOCAL).mkdir(parents=True)  # a folder cannot be read as a file, not even by root

    with pytest.raises(DatasetError, match="found is a directory, expected a readable file"):
        locate("american_w4", FILE)


def test_a_dangling_link_in_the_mirror_is_named(places: Path) -> None:
    path = places / "mirror" / LOCAL
    path.parent.mkdir(parents=True)
    path.symlink_to(places / "gone")

    with pytest.raises(DatasetError, match="found no such file or directory"):
        locate("american_w4", FILE)


def test_a_mirror_that_is_no_folder_is_refused(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDCREDIT_DATA_MIRROR", str(places / "nowhere"))

    with pytest.raises(DatasetError, match="correct or unset FEDCREDIT_DATA_MIRROR"):
        locate("american_w4", FILE)


def test_the_cache_comes_before_the_mirror(places: Path) -> None:
    put(places / "mirror" / "file.csv")
    cached = put(places / "cache" / "file.csv")

    assert fetch.fetch("file.csv", SHA256, address="") == cached


def test_a_mirror_given_as_argument_comes_before_the_environment(places: Path) -> None:
    path = put(places / "other" / "file.csv")

    assert fetch.fetch("file.csv", SHA256, address="", mirror=places / "other") == path


def test_a_download_is_checked_and_kept_in_the_cache(places: Path, upstream: str) -> None:
    path = fetch.fetch("set/file.csv", SHA256, address=upstream)

    assert path == places / "cache" / "set" / "file.csv"
    assert path.read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]


def test_a_wrong_download_leaves_nothing_behind(places: Path, upstream: str) -> None:
    with pytest.raises(DatasetError, match="nothing was kept"):
        fetch.fetch("set/file.csv", "0" * 64, address=upstream)

    assert list((places / "cache" / "set").iterdir()) == []


def test_an_oversize_download_is_broken_off(upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_FILE_BYTES", 3)

    with pytest.raises(DatasetError, match="more than 3 bytes"):
        fetch.fetch("set/file.csv", SHA256, address=upstream)


def test_a_failed_download_says_where_to_put_the_file(places: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        locate("american_w4", FILE)

    assert str(places / "cache" / LOCAL) in caught.value.hint


def test_a_set_without_licence_is_never_downloaded(places: Path) -> None:
    with pytest.raises(DatasetError, match="a copy that you bring") as caught:
        load("smesd")

    assert str(places / "cache" / "smesd" / "train_data.pkl") in caught.value.hint


def test_the_files_of_the_mirror_are_the_pinned_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if fetch.mirror_folder() is None and os.environ.get("FEDCREDIT_CI") != "1":
        pytest.skip("no mirror of the public data: set FEDCREDIT_DATA_MIRROR")

    for name, row in catalogue().items():
        for file in row.files:
            assert locate(name, file).is_file()
