"""One consortium for all tests of this folder that leave it as they found it; who breaks something makes their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.consortium.world import World, world_in


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Four institutions, online."""
    with world_in(tmp_path_factory.mktemp("consortium")) as found:
        yield found


@pytest.fixture(autouse=True)
def own_home(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's profile is in the consortium's folder."""
    monkeypatch.setenv("FEDCREDIT_HOME", str(world.folder))
