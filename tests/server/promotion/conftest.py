"""A founded desk for each test, and one on which two champions followed each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.promotion.world import NAME, World, found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return found(tmp_path / "models" / NAME)
