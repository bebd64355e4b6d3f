"""The folder that a run's units share: windows by institution for training, all rows for scoring."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from clients.institution import IN_RUN
from fedcredit.data.windows import Windows, load, save
from fedcredit.privacy.ledger import ledger_path
from fedcredit.trust.keys import Identity
from fedcredit.trust.roster import write_roster

POOLED = "pooled"
OWN_TABLES = "own-tables"  # the ledger of all studies of own tables on this machine
NodeConfig = dict[str, str | bool]


@dataclass(frozen=True)
class Workplace:
    """Paths under the run's work/ folder; only public, synthetic or own rows of one process are ever laid here."""

    folder: Path

    @staticmethod
    def build(
        folder: Path, windows: Windows, *, label_definition: str, is_public: bool = True, run: str = ""
    ) -> Workplace:
        """Lay out the files that units read; `is_public` covers synthetic rows.

        `run` is the study and the time of its run: under that name own rows are charged to the ledger of this machine.
        """
        folder = folder.resolve()  # what is read is remembered by path, and a working folder may change
        folder.mkdir(parents=True, exist_ok=True)
        names = windows.institutions
        for number, name in enumerate(names):
            save(windows.of(name).part("train", "validation"), folder / f"train-{number}.npz")
        everyone = replace(windows, institution=np.full(len(windows), POOLED))
        save(everyone.part("train", "validation"), folder / f"train-{POOLED}.npz")
        save(windows, folder / "rows.npz")
        windows.about.to_parquet(folder / "about.parquet")
        identities = folder / "identities"
        identities.mkdir(mode=0o700, exist_ok=True)
        pinned = {}
        for number, name in enumerate(names):
            path = identities / f"{number}.key"
            if not path.exists():
                Identity.generate().save(path)
            pinned[name] = Identity.load(path).public
        write_roster(folder / "roster.json", pinned)
        (folder / "known-to.json").write_text(json.dumps(_known_to(windows), ensure_ascii=False))
        facts = {"institutions": names, "label_definition": label_definition, "is_public": is_public, "run": run}
        (folder / "facts.json").write_text(json.dumps(facts, ensure_ascii=False))
        return Workplace(folder)

    @property
    def institutions(self) -> list[str]:
        """Names of the institutions, sorted."""
        names: list[str] = json.loads((self.folder / "facts.json").read_text())["institutions"]
        return names

    @property
    def roster(self) -> Path:
        """The file of everybody's identities: made here, since one process stands for all institutions of a study."""
        return self.folder / "roster.json"

    def rows(self) -> Windows:
        """Every row, read once a process."""
        return _load(self.folder / "rows.npz")

    def node_config(self, institution: str, *, state: Path) -> NodeConfig:
        """What the operator of that institution would set; POOLED is the one that holds every table."""
        facts = json.loads((self.folder / "facts.json").read_text())
        number = POOLED if institution == POOLED else facts["institutions"].index(institution)
        return {
            "institution": institution,
            "windows": str(self.folder / f"train-{number}.npz"),
            "state": str(state / str(number)),
            "label-definition": facts["label_definition"],
            "identity": str(self.folder / "identities" / f"{number}.key"),
            "roster": str(self.roster),
            "known-to": str(self.folder / "known-to.json"),
            "exact-metrics": facts["is_public"],
            "open-rows": facts["is_public"],
            # Every institution of a study is this process: what a reply says of the rows goes to who holds them.
            "one-machine": True,
            "overspending": facts["is_public"],
            # Deleting a run gives nothing back to the companies of one's own table.
            "ledger": IN_RUN if facts["is_public"] else str(ledger_path(OWN_TABLES)),
            "study": facts["run"],
            "population": "\n".join(facts["institutions"]) if institution == POOLED else institution,
        }


def _known_to(windows: Windows) -> dict[str, int]:
    """To how many institutions each company is known; a study has all their rows, so it can count."""
    pairs = pd.DataFrame({"company": windows.company, "institution": windows.institution}).drop_duplicates()
    return {str(company): int(count) for company, count in pairs["company"].value_counts().items()}


@lru_cache(maxsize=4)
def _load(path: Path) -> Windows:
    rows = load(path)
    # A frame without columns comes back from Parquet without rows.
    return replace(rows, about=pd.read_parquet(path.with_name("about.parquet")).reindex(range(len(rows))))
