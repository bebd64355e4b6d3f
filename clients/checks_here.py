"""What a node has on its own disk becomes check lines: keys, rows, levels, ledger, space, a round on made-up rows."""

from __future__ import annotations

import stat
from collections.abc import Iterator

import numpy as np

from clients.audit_log import read_log
from clients.checkup import Line, Subject, need_facts
from clients.environment import GIB, free_bytes
from clients.request import flower_public
from fedcredit.data.governance.levels import LEVELS, PRIVATE_ONLY
from fedcredit.data.windows import Windows, load
from fedcredit.errors import ConfigError, TableError
from fedcredit.link.authority import read_key
from fedcredit.privacy.account import ledger_path
from fedcredit.privacy.ledger import Ledger
from fedcredit.trust.keys import Identity

LEAST_FREE_GIB = 1.0  # a year of ledger, log and checkpoints of a small model is below .1


def check_keys(subject: Subject) -> Iterator[Line]:
    """Nobody but the node's own user reads the keys or the folder, and each key is of its kind."""
    home, wrong = subject.home, list(_open_to_others(subject))
    yield from wrong
    if not wrong:
        fingerprint = Identity.load(home.identity).public.fingerprint
        flower_public(home)
        read_key(home.tls_key)
        yield Line("keys", True, f"read by their owner only, identity {fingerprint[:16]}")


def _open_to_others(subject: Subject) -> Iterator[Line]:
    home = subject.home
    if (mode := stat.S_IMODE(home.folder.stat().st_mode)) & 0o077:
        yield Line("keys", False, f"folder of mode {mode:04o}", f"chmod 700 {home.folder}")
    for path in home.keys:
        if not path.exists() and path == home.officer:
            continue  # an officer may keep it elsewhere between two signatures
        if not path.exists():
            remedy = (
                "restore it from your backup, or fedcredit node request makes a new one that must be approved again"
            )
            yield Line("keys", False, f"no {path.name}", remedy)
        elif (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            yield Line("keys", False, f"{path.name} of mode {mode:04o}", f"chmod 600 {path}")


def check_rows(subject: Subject) -> Iterator[Line]:
    """The windows can be read and trained on: finite numbers, both outcomes, this institution's name."""
    facts = need_facts(subject)
    remedy = "fedcredit node data TABLE makes them from a checked table; try first with --synthetic 1"
    if not (subject.home.folder / facts.windows).exists():
        yield Line("rows", False, f"no {facts.windows}", f"{remedy}. A node that only scores needs none")
        return
    windows = windows_here(subject)
    train = windows.y[windows.split == "train"]
    problem = _problem(windows, institution=facts.institution)
    if problem:
        yield Line("rows", False, problem, remedy)
        return
    companies = len(np.unique(windows.company))
    shape = f"{windows.x.shape[1]} periods of {windows.x.shape[2]} features"
    yield Line("rows", True, f"{len(windows)} windows of {companies} companies, {len(train)} to train; {shape}")
    if facts.label_definition == "unstated":
        yield Line("label", False, "no definition", "label-definition in node.yaml: the words of the federation's")
    else:
        yield Line("label", True, facts.label_definition)


def check_levels(subject: Subject) -> Iterator[Line]:
    """The level of the rows is one of the five, and what that level lets leave is said."""
    facts, windows = need_facts(subject), windows_here(subject)
    level = windows.level if facts.level is None else facts.level
    if level not in LEVELS or level < windows.level:
        expected = f"{windows.level} to 5, or no level in node.yaml"
        raise ConfigError("node.yaml, level", found=str(level), expected=expected, hint=f"set level: {windows.level}")
    what = "only noised aggregates leave" if level >= PRIVATE_ONLY and not facts.open_rows else "updates may leave"
    said = " (the operator declared the rows open)" if facts.open_rows else ""
    yield Line("level", True, f"{level} of JR/T 0197-2020: {what}{said}")


def check_ledger(subject: Subject) -> Iterator[Line]:
    """Every entry of the ledger is chained to the one before it, and there is no second ledger of the institution."""
    entries = Ledger(subject.home.ledger).entries()
    other = ledger_path(need_facts(subject).institution)
    if other.exists() and not subject.home.ledger.exists():
        remedy = f"a ledger is never left behind: copy {other} to {subject.home.ledger}"
        yield Line("ledger", False, "another ledger of this institution", remedy)
        return
    yield Line("ledger", True, f"{len(entries)} entries, chain verified")


def check_audit(subject: Subject) -> Iterator[Line]:
    """Every line of the audit log follows from the one before, and this node's identity signed it."""
    home = subject.home
    entries = sum(1 for _ in read_log(home.audit_log, public=Identity.load(home.identity).public))
    yield Line("audit log", True, f"{entries} entries, chain and signatures verified")


def check_disk(subject: Subject) -> Iterator[Line]:
    """There is room for what must be written before a row is touched."""
    free = free_bytes(subject.home.folder) / GIB
    is_ok = free >= LEAST_FREE_GIB
    yield Line(
        "disk", is_ok, f"{free:.1f} GiB free", f"free {LEAST_FREE_GIB:g} GiB on the disk of {subject.home.folder}"
    )


def check_trial(subject: Subject) -> Iterator[Line]:
    """The real ClientApp trains one private round on made-up rows of the same shape."""
    from clients.trial import dry_run, made_up

    try:
        windows = windows_here(subject)
        trial = made_up(features=windows.features, time=windows.x.shape[1], schema_sha256=windows.schema_sha256)
    except (TableError, ConfigError):  # that line says so already
        trial = made_up()
    epsilon = dry_run(trial)
    yield Line(
        "dry run", True, f"one private round on made-up rows, epsilon {epsilon:.2f} charged to a ledger of its own"
    )


def windows_here(subject: Subject) -> Windows:
    """The rows. Raises TableError where there are none, or none that can be read."""
    return load(subject.home.folder / need_facts(subject).windows)


def _problem(windows: Windows, *, institution: str) -> str:
    train = windows.split == "train"
    if not np.isfinite(windows.x).all():
        return "numbers that are not finite"
    if not np.isin(windows.y, (0.0, 1.0)).all():
        return "an outcome that is neither 0 nor 1"
    if not train.any():
        return "no rows to train on"
    if len(np.unique(windows.y[train])) < 2:
        return "rows to train on with one outcome only"
    if windows.institutions != [institution]:
        return f"rows of {len(windows.institutions)} institutions, or of another one"
    return ""
