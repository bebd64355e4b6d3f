"""Made-up rows of the node's own shape become one trained round in this process: a dry run that touches no row."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from fedcredit.data.windows import Windows, save

FEATURES, PERIODS = ("debt", "cash", "growth"), 3
COMPANIES = 120


def made_up(*, features: tuple[str, ...] = FEATURES, time: int = PERIODS, schema_sha256: str = "0" * 64) -> Windows:
    """Rows of that shape about companies that do not exist; a third of them validation."""
    random = np.random.default_rng(0)
    return Windows(
        x=random.normal(size=(COMPANIES, time, len(features))).astype(np.float32),
        y=(np.arange(COMPANIES) % 4 == 0).astype(np.float32),
        company=np.array([f"made-up-{number:04}" for number in range(COMPANIES)]),
        institution=np.full(COMPANIES, "trial"),
        split=np.array(["train", "train", "validation"] * COMPANIES)[:COMPANIES],
        features=features,
        about=pd.DataFrame(index=range(COMPANIES)),
        schema_sha256=schema_sha256,
    )


def dry_run(windows: Windows) -> float:
    """Epsilon charged by one private round of the real ClientApp on the windows, in a folder that is then deleted.

    The task, the ledger, the noise and the gate on what leaves are those of a study; the grid is one process.

    Raises:
        FederationError: the app answered by an error code; its own log has the detail.
    """
    from flwr.app import ArrayRecord, Message, RecordDict

    from clients.app import app
    from fedcredit.errors import FederationError
    from fedcredit.federation import personal
    from fedcredit.federation.arrays import encode, record_of
    from fedcredit.federation.grid import InProcessGrid
    from fedcredit.federation.messages import ARRAYS, CONFIG, METRICS, SPENT, TRAIN, PrivacyTerms, Task
    from fedcredit.models.build import ModelSettings, build
    from fedcredit.models.train import LocalSettings

    terms = PrivacyTerms(epsilon=8.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=1)
    task = Task(
        run="trial",
        model=ModelSettings("logistic"),
        features=windows.features,
        time=windows.x.shape[1],
        seed=0,
        local=LocalSettings("sgd", lr=0.1),
        privacy=terms,
        metrics="none",
    )
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    arrays = record_of(
        {name: encode(value.numpy()) for name, value in personal.shared(model, share=task.share).items()}
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save(windows, folder / "windows.npz")
        facts = {
            "institution": "trial",
            "windows": str(folder / "windows.npz"),
            "state": str(folder / "state"),
            "ledger": str(folder / "ledger.sqlite"),
            "label-definition": "made up",
        }
        grid = InProcessGrid(app, [facts])
        for kind, number, sent in ((TRAIN, 1, ArrayRecord(dict(arrays))), (SPENT, 1, None)):
            content = RecordDict({CONFIG: task.as_config(**{"server-round": number})})
            if sent is not None:
                content[ARRAYS] = sent
            (reply,) = grid.send_and_receive([Message(content, 1, kind)])
            if reply.has_error():
                raise FederationError(kind, found=f"the code {reply.error.reason!r}", expected="a reply")
        epsilon: float = reply.content[METRICS]["epsilon"]
        return epsilon
