"""A consortium on disk and institutions that ask to join, all through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedcredit.link.authority import new_key_and_csr
from fedcredit.trust.joining import Environment, Request, write_request
from fedcredit.trust.keys import Identity
from server.consortium.home import Consortium
from server.consortium_cli import consortium as program
from tests.trust.consortium import flower_key

OFFICERS = ("ann", "bob", "eve")


@dataclass
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """The object that `--json` printed."""
        raw: dict[str, Any] = json.loads(self.out)
        return raw


def run(*words: str | Path) -> Said:
    """Run `fedcredit consortium ...`; an error of ours is raised."""
    result = CliRunner().invoke(program, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


@dataclass
class Applicant:
    """An institution with its keys in a folder."""

    name: str
    folder: Path
    identity: Identity = field(default_factory=Identity.generate)
    flower: str = field(default_factory=flower_key)
    renewals: int = 0
    csr: str = ""

    def request(self, *, also: Sequence[Identity] = (), **change: Any) -> Path:
        """A new request with a new TLS key, written to a file."""
        self.renewals += 1
        self.csr = change.pop("csr", "") or new_key_and_csr(
            self.folder / f"{self.name}-{self.renewals}.key", name=self.name
        )
        environment = Environment("3.11", "Linux", "0.1.0", "1.41.0", "2.9.0", 2, 15.5, 40.0, datetime.now(UTC))
        asked = {"identity": self.identity.public, "flower_key": self.flower} | change
        path = self.folder / f"{self.name}.fcreq"
        request = Request(self.name, asked["identity"], self.csr, asked["flower_key"], environment)
        path.write_bytes(write_request(request, by=self.identity, also=also))
        return path


@pytest.fixture
def applicant(tmp_path: Path) -> Callable[[str], Applicant]:
    """Makes an institution."""

    def make(name: str) -> Applicant:
        folder = tmp_path / f"applicant-{len(list(tmp_path.glob('applicant-*')))}"
        folder.mkdir()
        return Applicant(name, folder)

    return make


@pytest.fixture
def kept(own_home: Path) -> Consortium:
    """A consortium of three officers, two of whom sign; all keys lie in its folder."""
    run("init", "pearl", "--gateway", "gateway.example:443", "--officers", ",".join(OFFICERS), "--threshold", "2")
    return Consortium.open(own_home / "consortium")


@pytest.fixture
def scattered(kept: Consortium, tmp_path: Path) -> Callable[[str], Path]:
    """Takes the officers' keys away from the consortium's folder; gives where each one's is."""
    for name in OFFICERS:
        stick = tmp_path / f"stick-of-{name}"
        stick.mkdir()
        (kept.places.officers / f"{name}.key").rename(stick / f"{name}.key")
    return lambda name: tmp_path / f"stick-of-{name}" / f"{name}.key"
