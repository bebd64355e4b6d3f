"""A bundle on the desk is whole or not there, and is what its digest says whenever it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.errors import ModelError
from fedcredit.models.bundle import read
from server.promotion.kept import called, keep, kept, version_of
from tests.conftest import small_files
from tests.server.promotion.world import World, found


def test_copy_reads_as_the_bundle_it_was_made_of(world: World) -> None:
    folder = world.bundle(bias=0.3)
    sha256 = world.keep(folder)
    assert read(kept(world.desk.folder, sha256)).sha256 == read(folder).sha256 == sha256


def test_copy_that_meets_a_full_disk_is_not_there_at_all(world: World) -> None:
    folder = world.bundle()
    with small_files(), pytest.raises(ModelError, match="nothing was left half-written"):
        keep(world.desk.folder, folder)
    assert list((world.desk.folder / "bundles").iterdir()) == []
    keep(world.desk.folder, folder)


def test_bundle_of_another_study_is_not_taken(world: World, tmp_path: Path) -> None:
    other = found(tmp_path / "fedcredit-other")
    with pytest.raises(ModelError, match="a bundle of study 'other'"):
        world.keep(other.bundle())


def test_tampered_source_is_not_taken(world: World) -> None:
    folder = world.bundle()
    (folder / "model.json").write_bytes((folder / "model.json").read_bytes().replace(b"east", b"west"))
    with pytest.raises(ModelError, match="differs from the manifest"):
        world.keep(folder)


def test_digest_that_is_a_path_is_no_bundle(world: World) -> None:
    for word in ("../../etc", "..", "", "A" * 64):
        with pytest.raises(ModelError):
            kept(world.desk.folder, word)


def test_word_that_means_two_bundles_is_refused(world: World) -> None:
    one, two = (world.keep(world.bundle(bias=bias), version="7") for bias in (0.1, 0.2))
    with pytest.raises(ModelError, match="2 bundles called 7"):
        called(world.desk.folder, "7")
    assert called(world.desk.folder, one[:12]) == one
    assert called(world.desk.folder, f"quick-{two[:12]}") == two
    assert called(world.desk.folder, one[:4]) is None, "too few digits to mean it"


def test_version_that_a_terminal_would_obey_is_not_shown(world: World) -> None:
    sha256 = world.keep(world.bundle())
    note = world.desk.folder / "bundles" / f"{sha256}.json"
    for content in ('{"version": "\\u001b[2J3"}', '{"version": 3}', "[]", ""):
        note.write_text(content)
        assert version_of(world.desk.folder, sha256) == sha256[:12]
