"""The bundle of what is installed: the platform's own folders, the same bytes every time, no code of a client."""

from __future__ import annotations

import io
import tomllib
import zipfile

from server.bundle import bundle


def test_bundle_holds_server_and_configs_only() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle().content)) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        project = tomllib.loads(archive.read("pyproject.toml").decode())
    assert tops == {"pyproject.toml", ".info", "server", "configs"}
    assert project["tool"]["flwr"]["app"]["components"] == {
        "serverapp": "server.deployed:app",
        "clientapp": "clients.app:app",
    }
    assert project["project"]["dependencies"] == ["flwr"]


def test_same_code_makes_the_same_bundle() -> None:
    before = bundle()
    bundle.cache_clear()
    assert bundle() == before
