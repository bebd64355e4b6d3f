"""A desk with promoted bundles, keys and a running service, for tests."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle
from server.binding import bind
from server.promotion.promote import promote
from server.scoring.policy import Policy
from server.scoring.running import application, settings
from server.scoring.service import Service
from server.scoring.tokens import issue, new_key
from tests.server.promotion.world import found

NAME = "fedcredit-quick"
COLUMNS = (
    Column("sales", "amount"),
    Column("debt_ratio", "ratio", lo=0.0, hi=10.0, scale=2.0),
    Column("staff", "number", lo=0.0, hi=500.0, nullable=True),
    Column("in_arrears", "flag", nullable=True),
    Column("region", "category", levels=("north", "south")),
    Column("year_end", "month"),
    Column("growth", "raw", nullable=True),
)
SCHEMA = Schema(COLUMNS, Label("bad", definition="90 dpd"), company="id", period="month")
INPUTS = (
    "sales",
    "debt_ratio",
    "staff",
    "staff_missing",
    "in_arrears",
    "in_arrears_missing",
    "region=north",
    "region=south",
    "year_end_sin",
    "year_end_cos",
    "growth",
    "growth_missing",
    "present",
)


def made(seed: int = 1, *, time: int = 4, bias: float = 0.0, **more: Any) -> Bundle:
    """A small LSTM; `bias` moves all its scores."""
    kind = ModelSettings("lstm", hidden=4)
    weights = build(kind, features=INPUTS, time=time, seed=seed).state_dict()
    weights["head.bias"] = weights["head.bias"] + torch.tensor([bias])
    facts: dict[str, Any] = {"config_sha256": "c" * 64, "git_sha": "abc", "roster": ("east",), "scale": "master19"}
    return Bundle("quick", kind, time, INPUTS, SCHEMA, weights, **(facts | more))


def row(period: str = "2025-12", **cells: Any) -> dict[str, Any]:
    """A row that the model takes."""
    good = {
        "sales": 120.0,
        "debt_ratio": 0.4,
        "staff": 12,
        "in_arrears": 0,
        "region": "north",
        "year_end": 12,
        "growth": 0.1,
    }
    return {"period": period} | good | cells


def history(count: int = 4, **cells: Any) -> list[dict[str, Any]]:
    """Rows of the last months of 2025."""
    return [row(f"2025-{13 - k:02d}", **cells) for k in range(count, 0, -1)]


def asked(company: str = "company-a", rows: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A request."""
    return {"company": company, "rows": rows or history()} | more


@dataclass
class Serving:
    """A real server in a thread, and requests to it."""

    folder: Path
    policy: Policy = field(default_factory=Policy)
    first: Bundle | None = None
    count: int = 0

    def __post_init__(self) -> None:
        self.desk, self.keys = self.folder / "models" / NAME, self.folder / "serving"
        self.world = found(self.desk)
        new_key(self.keys)
        self.champion = self.promote(self.first or made())
        self.tokens = {
            role: issue(self.keys, name="li", role=role, days=1)[0]
            for role in ("institution", "data_scientist", "ops", "auditor")
        }
        self.server: uvicorn.Server | None = None

    def promote(self, bundle: Bundle) -> str:
        """Make the bundle the champion, past its gates and with two signatures; its digest."""
        return promote(self.world.desk, self.world.ready(self.lay(bundle)), now=datetime.now(UTC)).bundle_sha256

    def keep(self, bundle: Bundle) -> str:
        """Lay the bundle into the desk; its digest."""
        return self.world.keep(self.lay(bundle))

    def lay(self, bundle: Bundle) -> Path:
        """The bundle as a folder of the workshop."""
        self.count += 1
        folder = self.folder / "workshop" / f"bundle-{self.count}"
        bundles.write(folder, bundle)
        return folder

    def start(self) -> Serving:
        """Listen."""
        self.app = application(self.desk, self.keys, self.policy)
        self.service: Service = self.app.state.service
        self.listener = bind("127.0.0.1", 0)
        self.port = int(self.listener.getsockname()[1])
        self.server = uvicorn.Server(settings(self.app))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.thread.start()
        return self

    def ask(
        self, method: str, path: str, body: Any = None, *, role: str | None = "institution", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if role is not None:
            sent["Authorization"] = f"Bearer {self.tokens[role]}"
        try:
            data = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
            connection.request(method, path, data, sent | {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            content = answer.read()
            is_json = (answer.getheader("content-type") or "").startswith("application/json")
            return answer.status, json.loads(content) if is_json else content.decode(), dict(answer.getheaders())
        finally:
            connection.close()

    def score(self, body: Any = None, **more: Any) -> tuple[int, Any, dict[str, str]]:
        """Ask for one score."""
        return self.ask("POST", "/score", asked() if body is None else body, **more)

    def stop(self) -> None:
        """Stop listening."""
        if self.server is not None:
            self.server.should_exit = True
            self.thread.join()
            self.listener.close()


def probabilities(bundle: Bundle, count: int, seed: int = 0) -> list[list[dict[str, Any]]]:
    """Rows of many companies with holes, short histories and empty cells, for comparisons."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        months = sorted(rng.choice(12, size=int(rng.integers(1, 8)), replace=False).tolist())
        rows = []
        for month in months:
            cells: dict[str, Any] = {
                "sales": float(rng.normal(0, 1e5)),
                "debt_ratio": float(rng.uniform(0, 10)),
                "staff": None if rng.random() < 0.3 else float(rng.integers(0, 500)),
                "in_arrears": None if rng.random() < 0.3 else int(rng.integers(0, 2)),
                "region": str(rng.choice(["north", "south"])),
                "year_end": int(rng.integers(1, 13)),
                "growth": None if rng.random() < 0.3 else float(rng.normal()),
            }
            rows.append(row(f"2025-{month + 1:02d}", **cells))
        found.append(rows)
    return found
