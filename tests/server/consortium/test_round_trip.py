"""An institution's commands and the platform's, one after the other, on real files: in, renewed, and out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcredit.__main__ import main
from fedcredit.trust.manifest import ManifestFile
from server.consortium.home import Consortium
from tests.server.consortium.conftest import run


def test_institution_joins_renews_and_is_revoked(
    kept: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDCREDIT_HOME", str(tmp_path / "institution"))
    monkeypatch.chdir(tmp_path)
    home = ("--home", str(kept.places.folder))
    fingerprint = kept.current().root_fingerprint[:32]
    node = tmp_path / "institution" / "harbour-bank"

    main(["node", "request", "harbour-bank"])
    run("approve", "harbour-bank.fcreq", *home)
    main(["node", "join", "harbour-bank.fcjoin", "--fingerprint", fingerprint, "--yes"])
    first = (node / "tls.crt").read_text()
    kept_there = ManifestFile(node / "manifest.json")
    assert kept_there.read(now=datetime.now(UTC)).member("harbour-bank") is not None

    main(["node", "request", "harbour-bank"])
    run("rotate", "member", "harbour-bank.fcreq", *home)
    main(["node", "join", "harbour-bank.fcjoin", "--fingerprint", fingerprint, "--yes"])
    assert (node / "tls.crt").read_text() != first

    run("revoke", "harbour-bank", *home)
    newest = kept_there.accept(kept.file.data(), now=datetime.now(UTC))
    assert newest.member("harbour-bank") is None
    assert not any(path.name in ("tls.key", "identity.key") for path in kept.places.folder.rglob("*"))
    assert capsys.readouterr().out
