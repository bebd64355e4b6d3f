"""Folders for a measurement: a desk whose approvers are here, a scoring service of its own process, a gateway.

The model is a nine-factor one over the dictionary's 28 indicators and 12 months. It is untrained, which costs the same.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.data.features import PRESENT
from fedcredit.data.indicators import columns
from fedcredit.data.schema import Column, Label, Schema
from fedcredit.data.transforms import inputs_of
from fedcredit.errors import RunError
from fedcredit.link import caddy
from fedcredit.link.authority import Authority, certificate_sha256, new_key_and_csr
from fedcredit.link.running import free_port
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import Identity
from server.gateway import Passes, Place, gateway_config
from server.promotion.approvals import approve
from server.promotion.desk import Desk
from server.promotion.gates import Gate, Gates
from server.promotion.kept import keep
from server.scoring.tokens import issue, new_key

NAME, STUDY, MONTHS = "fedcredit-serving", "serving", 12
START_SECONDS = 60.0


@dataclass
class Platform:
    """A desk with two approvers, and the keys of tokens."""

    folder: Path
    desk: Desk
    people: tuple[Identity, ...]

    @classmethod
    def make(cls, folder: Path) -> Platform:
        """A founded desk without a champion."""
        people = (Identity.generate(), Identity.generate())
        gate = Gate("auc", "auc", "value", "refuse", at_least=0.5)
        desk = Desk(folder / "models" / NAME)
        desk.found(Gates(NAME, (gate,), {"ann": people[0].public, "bob": people[1].public}), by=people)
        new_key(folder / "serving")
        return cls(folder, desk, people)

    def ready(self, seed: int) -> str:
        """A new bundle with evidence and both signatures; its digest."""
        folder = self.folder / f"bundle-{seed}"
        bundles.write(folder, made(seed))
        sha256 = keep(self.desk.folder, folder, version=str(seed))
        write_whole(self.desk.evidence(sha256), json.dumps(_evidence(self.desk, sha256, seed)).encode())
        for person in self.people:
            approve(self.desk, sha256, by=person, now=datetime.now(UTC))
        return sha256

    def token(self, certificate: str | None = None) -> str:
        """Of an institution; bound to a certificate, as the gateway's callers need it."""
        return issue(self.folder / "serving", name="load", role="institution", days=1, certificate=certificate)[0]

    def start(self, port: int) -> subprocess.Popen[str]:
        """The service as a program, once it listens. Raises RunError: it does not."""
        words = [sys.executable, "-m", "fedcredit", "serve", "score", "--model", NAME, "--runs", str(self.folder)]
        words += ["--port", str(port), "--per-second", "100000", "--json"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        said = process.stdout
        if said is not None and select.select([said], [], [], START_SECONDS)[0] and said.readline():
            return process
        process.kill()
        raise RunError("scoring service", found="no word of it", expected="its address")


def made(seed: int) -> Bundle:
    """A nine-factor model of other weights for each seed."""
    months = columns()
    schema = Schema(months, Label("default_12m"), company="company", period="month")
    inputs = (*inputs_of(schema), PRESENT)
    settings = ModelSettings("nine_factor", hidden=6).resolved(inputs)
    weights = build(settings, features=inputs, time=MONTHS, seed=seed).state_dict()
    facts: Mapping[str, Any] = {"config_sha256": "0" * 64, "git_sha": "none", "roster": ("east",)}
    return Bundle(STUDY, settings, MONTHS, inputs, schema, weights, scale="master19", **facts)


def body() -> bytes:
    """A company with 12 months of all indicators."""
    rng = np.random.default_rng(0)
    rows = [
        {"period": f"2025-{month + 1:02d}", **{one.name: _cell(one, rng) for one in columns()}}
        for month in range(MONTHS)
    ]
    return json.dumps({"company": "company-of-the-measurement", "rows": rows}).encode()


def _cell(column: Column, rng: np.random.Generator) -> float | str | None:
    if column.kind == "category":
        return column.levels[0]
    if column.kind in ("flag", "month"):
        return 1
    lo, hi = (column.lo, column.hi) if column.kind in ("ratio", "number") else (0.0, 1e6)
    return round(float(rng.uniform(lo or 0.0, hi or 1.0)), 4)


def _evidence(desk: Desk, sha256: str, seed: int) -> dict[str, Any]:
    champion = desk.champion()
    rows = {"dataset": "none", "split": "test", "rows": 1, "defaults": 0, "label_definition": "none"}
    return {
        "schema": 1,
        "model": {"name": NAME, "version": seed, "bundle_sha256": sha256, "study": STUDY},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": rows | {"acceptance": "all", "synthetic": True},
        "against": {"bundle_sha256": champion.bundle_sha256, "version": champion.version} if champion else None,
        "figures": {"auc": {"value": 0.7, "low": None, "high": None, "about": "made up for a measurement of time"}},
    }


@dataclass(frozen=True)
class Door:
    """A running gateway, and the files of an institution that may pass it."""

    gateway: caddy.Caddy
    port: int
    authority: Path
    certificate: Path
    key: Path
    sha256: str  # of the certificate


def open_gateway(folder: Path, *, scoring: str) -> Door:
    """A gateway for one institution, which also takes X25519 alone: Python's TLS knows no other."""
    authority = Authority.create(folder / "authority", name="measurement")
    cards = {}
    for name, role, hosts in (("gateway", "server", ("gateway.test",)), ("bank", "institution", ())):
        csr = new_key_and_csr(folder / f"{name}.key", name=name)
        pem = authority.issue(csr, role=role, name=name, days=1, hosts=hosts)  # type: ignore[arg-type]
        (folder / f"{name}.crt").write_text(pem)
        cards[name] = pem
    (folder / "authority.pem").write_text(authority.pem)
    port = free_port()
    place = Place(
        listen=f"127.0.0.1:{port}",
        server_name="gateway.test",
        certificate=folder / "gateway.crt",
        key=folder / "gateway.key",
        superlink="127.0.0.1:1",
        manifest=folder / "manifest.json",
        studies=folder / "studies",
        metrics_port=free_port(),
        require_pq=False,
    )
    sha256 = certificate_sha256(cards["bank"])
    passes = Passes({sha256: "none"}, frozenset(), authority.pem)
    config = gateway_config(passes, replace(place, scoring=scoring))
    running = caddy.start(config, folder=folder / "run")
    return Door(running, port, folder / "authority.pem", folder / "bank.crt", folder / "bank.key", sha256)
