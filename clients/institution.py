"""The facts that an institution's operator set become its rows and its folder for what must survive a restart."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from flwr.app import Context
from numpy.typing import NDArray
from torch import Tensor

from clients.policy import Policy
from clients.policy_file import Pinned
from fedcredit.data.governance.masking import LOGS
from fedcredit.data.governance.names import Names, read_names
from fedcredit.data.windows import Windows, digest, load
from fedcredit.errors import ConfigError, PolicyRefused, TableError
from fedcredit.federation.counted import counts_plan
from fedcredit.federation.counting import Question
from fedcredit.federation.masked import plan_of
from fedcredit.federation.messages import Task
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.ledger import Account, Ledger, ledger_path
from fedcredit.privacy.secagg import ClientSession, Store
from fedcredit.privacy.units import weights
from fedcredit.privacy.weights import size_class
from fedcredit.trust.keys import Identity, PublicIdentity
from fedcredit.trust.roster import read_roster

# Flower's simulation gives a node nothing but its number; the file named here holds the node_config of each.
NODES_FILE = "FEDCREDIT_NODES"

RUN_LEDGER = "ledger.sqlite"  # in a run's folder, for public and synthetic rows
MASKS_FILE = "masks.sqlite"  # what was dealt, uploaded, signed and released in masked sums; never twice
RUNS = "runs"  # in the state: a folder a run, since the platform chooses the name and files of the node lie beside it
MAX_RUN_BYTES = 240  # of a run's name: a name in a folder has 255
IN_RUN = "run"  # the node's `ledger`, where it is to be there

HIGHEST_LEVEL = 5  # of JR/T 0197-2020, and that of rows which nobody has looked at
SHORTEST_ID = 10  # of a company's id in the table; a shorter one would be found in many a count


@dataclass(frozen=True)
class Rows:
    """One split of the institution's windows, as tensors; `company` names the unit of privacy of each row.

    about: what rows may be counted by, such as their sector, by name.
    """

    x: Tensor
    y: Tensor
    company: NDArray[np.str_]
    about: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Institution:
    """Who this node is: its name, its rows by split, and a folder of its own for state.

    The operator may allow exact metrics under privacy, and a run to spend more than its plan after a crash; both are
    for public and synthetic rows, and so is a ledger in the folder of each run (`ledger` None); else it is the
    institution's own, which outlives every run. `populations` are those of companies whose budget the rows spend: all
    tables of an institution share one, unless the operator tells them apart. `level` is the highest of the rows'
    features, or what the operator raised it to; `is_open`: see `levels.may_leave`. `names` are the companies' ids and
    the local registry: they are searched for in whatever leaves, and masked in the log. `policy` is the institution's
    own, as its officer signed it; its limits are in `ceilings` too. `manifest` is the consortium's.
    """

    name: str
    label_definition: str
    schema_sha256: str
    features: tuple[str, ...]
    train: Rows
    validation: Rows
    state: Path
    test: Rows | None = None
    allows_exact_metrics: bool = False
    allows_overspending: bool = False
    level: int = 3
    is_open: bool = False
    names: Names | None = None
    ledger: Path | None = None
    identity: Path | None = None
    roster: Path | None = None
    known_to: Path | None = None
    ceilings: Ceilings = field(default_factory=Ceilings)
    populations: tuple[str, ...] = ()
    study: str = ""
    dataset: str = ""
    policy: Policy | None = None
    manifest: Path | None = None

    @cached_property
    def companies(self) -> int:
        """How many companies the institution trains on."""
        return len(np.unique(self.train.company))

    @cached_property
    def weights(self) -> Tensor:
        """The share of the clip of each training row's company: one over the institutions that know it, (n,).

        Raises:
            ConfigError: the operator named no file that says how many know each company.
            TableError: the file lacks a company, or says another thing than whole numbers.
        """
        if self.known_to is None:
            hint = "node_config: known-to names a JSON file {company: how many institutions of the federation know it}"
            raise ConfigError(
                "node_config", found="no known-to", expected="a file, for this unit of privacy", hint=hint
            )
        try:
            known = json.loads(self.known_to.read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            found, expected = type(fault).__name__, "a JSON object of whole numbers"
            raise ConfigError("node_config, known-to", found=found, expected=expected) from None
        if not isinstance(known, dict):
            raise ConfigError("node_config, known-to", found="no object", expected="a JSON object of whole numbers")
        missing = sum(company not in known for company in set(self.train.company.tolist()))
        if missing:
            raise TableError(self.known_to.name, found=f"nothing of {missing} companies", expected="a number for each")
        return torch.from_numpy(weights([known[company] for company in self.train.company.tolist()])).float()

    @cached_property
    def validation_bad(self) -> int:
        """How many validation rows have label 1."""
        return int(self.validation.y.sum())

    def held_out(self, split: str) -> Rows:
        """The rows that models are judged on: of `validation`, or of `test` where the table here has any."""
        if split == "validation":
            return self.validation
        return self.test if self.test is not None else _take(self.validation, 0)

    def sizes(self, task: Task) -> tuple[int, int]:
        """Companies and rows that it trains on; under masks the power of two below each, since weights are masked.

        So it is for any task where the operator lets nothing leave but masked sums.
        """
        companies, rows = self.companies, len(self.train)
        is_open = task.masking is None and self.ceilings.least_sum is None
        return (companies, rows) if is_open else (size_class(companies), size_class(rows))

    def group_of(self, task: Task) -> tuple[str, ...]:
        """The institutions in the task's masked sum with this one; nobody where there is none."""
        return (task.masking.group_of(self.name) if task.masking is not None else None) or ()

    def masks_of(self, task: Task, *, session: str, size: int, question: Question | None = None) -> ClientSession:
        """This institution's side of the task's masked sum, on its own disk and with the identities that it pinned.

        With a question the sum is of the counts that it asks for, else of updates of `size` numbers.

        Raises:
            ConfigError: the operator named no identity or no roster, or the task has no sum with this institution.
            SecaggRefused, KeyFileRefused: see `Roster` and `Identity`.
        """
        if self.identity is None or self.roster is None:
            found, hint = "no identity or roster", "node_config: identity and roster name their files"
            raise ConfigError("node_config", found=found, expected="both, for a masked sum", hint=hint)
        group = self.group_of(task)
        if not group:
            raise ConfigError("task.masking", found="no sum with this institution", expected="its name in one group")
        self.state.mkdir(parents=True, exist_ok=True)
        store = self.state / MASKS_FILE
        return _masks(self.name, self.identity, self.roster, store, task, group, session, size, question)

    def bind(self, task: Task) -> None:
        """Tie the run's name to its first task: a later one under the same name could ask without privacy.

        Raises:
            PolicyRefused: the run was begun with another task.
        """
        digest = hashlib.sha256(task.to_json().encode()).hexdigest()
        path = self.folder(task.run) / "task.sha256"
        if not path.exists():
            draft = path.with_suffix(f".{secrets.token_hex(8)}")
            draft.write_text(digest)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)  # of two first tasks at once one is the first: a link never replaces
            draft.unlink()
        if path.read_text() != digest:
            raise PolicyRefused("task", found="another task under the name of this run", expected="the first one")

    def ledger_of(self, task: Task) -> Ledger:
        """The ledger that the task is charged to."""
        if self.ledger is None:
            return Ledger(self.folder(task.run) / RUN_LEDGER, self.ceilings)
        return Ledger(self.ledger, self.ceilings)

    def has_charged(self, task: Task) -> bool:
        """Whether anything of the task's run is in the ledger."""
        if task.privacy is None:
            return False
        return self.ledger_of(task).has_charged(self.account_of(task, delta=task.privacy.delta))

    def has_charged_counts(self, task: Task) -> bool:
        """Whether an evaluation of the task's study is in the ledger."""
        return task.metrics == "noised" and self.ledger_of(task).has_charged(self.counts_account(task))

    def account_of(self, task: Task, *, delta: float) -> Account:
        """Under which names the task is charged."""
        return Account(
            run=f"{self.study}/{task.run}" if self.study else task.run,
            study=self.study or task.run,
            dataset=self.dataset,
            populations=self.populations or (self.name,),
            delta=delta,
            scope="run" if self.ledger is None else "institution",
        )

    def counts_account(self, task: Task) -> Account:
        """Under which names the study's evaluations are charged: all its runs share one plan, apart from training."""
        account = self.account_of(task, delta=task.counts.delta if task.counts is not None else 0.0)
        study = task.study or account.study
        return dataclasses.replace(account, run=f"{study}+counts", study=study)

    def folder(self, run: str) -> Path:
        """The state folder of one run, made on first use."""
        path = run_folder(self.state, run)
        path.mkdir(parents=True, exist_ok=True)
        return path


def run_folder(state: Path, run: str) -> Path:
    """Where a run's state is: in a folder that has nothing but runs, so that no name of one is that of another file.

    Raises:
        ConfigError: the name has other characters, or too many of them.

    >>> run_folder(Path("state"), "masks.sqlite").as_posix()
    'state/runs/masks.sqlite'
    """
    is_word = run.replace("-", "").replace("_", "").replace(".", "").isalnum()
    if not is_word or run.startswith(".") or len(run.encode()) > MAX_RUN_BYTES:
        expected = f"letters, digits, - _ . and at most {MAX_RUN_BYTES} bytes"
        raise ConfigError("task.run", found="another name", expected=expected)
    return state / RUNS / run


def institution_of(context: Context, *, with_rows: bool = True) -> Institution:
    """The institution that this node's own configuration describes, under its policy; rows are read once a process.

    What asks nothing of any row is answered `with_rows=False`: no table is opened, so a node needs none.

    Raises:
        ConfigError: the operator's configuration lacks a key.
        TableError: the table cannot be read.
        AskRefused: the operator named a policy that is not there, or not as its officer signed it.
    """
    facts = facts_of(context)
    needed = ("institution", "state", *(("windows", "label-definition") if with_rows else ()))
    missing = [key for key in needed if key not in facts]
    if missing:
        raise ConfigError("node_config", found=f"no {', '.join(missing)}", expected="the facts of this institution")
    said = json.dumps(facts, sort_keys=True)
    if "policy" not in facts:
        return _read(said, with_rows)
    if "officer" not in facts:
        expected = "the file of the officer's public identity"
        raise ConfigError("node_config", found="a policy, no officer", expected=expected)
    logged = (str(facts.get("audit", "")), str(facts.get("identity", "")))
    pinned = Pinned(str(facts["policy"]), str(facts["officer"]), *logged)
    return _under(said, pinned.read(institution=str(facts["institution"])), with_rows)


def facts_of(context: Context) -> dict[str, Any]:
    """What the operator set for this node."""
    facts: dict[str, Any] = dict(context.node_config)
    if "institution" not in facts and NODES_FILE in os.environ:
        facts = json.loads(Path(os.environ[NODES_FILE]).read_text())[int(facts["partition-id"])]
    return facts


@lru_cache(maxsize=64)
def _under(facts_json: str, policy: Policy, with_rows: bool) -> Institution:
    """The institution with the policy's limits beside those of its ceilings, whichever is less."""
    here = _read(facts_json, with_rows)
    lifetimes = [e for e in (here.ceilings.lifetime_epsilon, policy.epsilon.lifetime) if e is not None]
    sums = [least for least in (here.ceilings.least_sum, policy.least_sum) if least is not None]
    ceilings = dataclasses.replace(
        here.ceilings, lifetime_epsilon=min(lifetimes, default=None), least_sum=max(sums, default=None)
    )
    return dataclasses.replace(here, policy=policy, ceilings=ceilings)


@lru_cache(maxsize=64)
def _read(facts_json: str, with_rows: bool) -> Institution:
    facts: Mapping[str, Any] = json.loads(facts_json)
    windows = load(Path(str(facts["windows"]))) if with_rows else _NO_ROWS
    names = Names.of(name for name in set(windows.company.tolist()) if len(name) >= SHORTEST_ID)
    if "registry" in facts:
        names = names | read_names(Path(str(facts["registry"])))
    LOGS.watch(names)
    return Institution(
        name=str(facts["institution"]),
        label_definition=str(facts.get("label-definition", "")),
        schema_sha256=windows.schema_sha256,
        features=windows.features,
        train=_rows(windows, "train"),
        validation=_rows(windows, "validation"),
        test=_rows(windows, "test"),
        state=Path(str(facts["state"])),
        allows_exact_metrics=facts.get("exact-metrics") is True,
        allows_overspending=facts.get("overspending") is True,
        level=_raised(windows.level, facts.get("level", windows.level)) if with_rows else HIGHEST_LEVEL,
        is_open=facts.get("open-rows") is True or facts.get("one-machine") is True,
        names=names,
        ledger=_ledger(facts),
        identity=Path(str(facts["identity"])) if "identity" in facts else None,
        roster=Path(str(facts["roster"])) if "roster" in facts else None,
        known_to=Path(str(facts["known-to"])) if "known-to" in facts else None,
        ceilings=Ceilings.read(Path(str(facts["ceilings"]))) if "ceilings" in facts else Ceilings(),
        populations=_populations(facts),
        study=str(facts.get("study", "")),
        dataset=digest(windows),
        manifest=Path(str(facts["manifest"])) if "manifest" in facts else None,
    )


_NONE = np.array([], dtype=np.str_)
_NO_ROWS = Windows(
    x=np.zeros((0, 0, 0), dtype=np.float32),
    y=np.zeros(0, dtype=np.float32),
    company=_NONE,
    institution=_NONE,
    split=_NONE,
    features=(),
    about=pd.DataFrame(),
    schema_sha256="",
)


def _ledger(facts: Mapping[str, Any]) -> Path | None:
    """Where the spend is kept: the institution's own ledger, unless the operator says that each run keeps it."""
    said = str(facts.get("ledger", ledger_path(str(facts["institution"]))))
    return None if said == IN_RUN else Path(said)


def _populations(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """One a line: rows of several populations spend the budget of each."""
    return tuple(str(facts.get("population", facts["institution"])).splitlines())


@lru_cache(maxsize=64)
def _identity(path: Path) -> Identity:
    return Identity.load(path)


@lru_cache(maxsize=64)
def _roster(path: Path) -> Mapping[str, PublicIdentity]:
    return read_roster(path)


@lru_cache(maxsize=64)
def _masks(
    name: str,
    identity: Path,
    roster: Path,
    store: Path,
    task: Task,
    group: tuple[str, ...],
    session: str,
    size: int,
    question: Question | None,
) -> ClientSession:
    """The session keeps nothing but the plan, whose parsed keys are worth keeping; all else is in the store."""
    pinned = _roster(roster)
    if question is None:
        plan = plan_of(task, group, session=session, pinned=pinned, size=size)
    else:
        plan = counts_plan(task, question, group, session=session, pinned=pinned)
    return ClientSession(plan, name, _identity(identity), _store(store))


@lru_cache(maxsize=64)
def _store(path: Path) -> Store:
    return Store(path)


def _raised(level: int, said: object) -> int:
    """An owner may raise the level of the rows, never lower it."""
    if not isinstance(said, int) or not level <= said <= HIGHEST_LEVEL:
        raise ConfigError("node_config, level", found=repr(said)[:20], expected=f"the rows' own {level}, or up to 5")
    return said


def _rows(windows: Windows, split: str) -> Rows:
    part = windows.part(split)
    about = {str(name): part.about[name].to_numpy().astype(np.str_) for name in part.about}
    return Rows(torch.from_numpy(part.x.copy()), torch.from_numpy(part.y.copy()), part.company, about)


def _take(rows: Rows, count: int) -> Rows:
    about = {name: values[:count] for name, values in rows.about.items()}
    return Rows(rows.x[:count], rows.y[:count], rows.company[:count], about)
