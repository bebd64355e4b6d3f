"""A study and a policy become the list of all that will leave; a run and the audit log become what did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clients.audit_entry import AuditEntry
from fedcredit.data.governance.contract import Contract, Rule, contracts

# Names of messages, as in fedcredit/federation/messages.py, which would import Flower and torch.
MASKED_ONLY = frozenset(
    {
        "query.keys",
        "query.agree",
        "query.confirm",
        "query.shares",
        "train.masked",
        "query.survivors",
        "query.unmask",
        "query.masked",
    }
)
CLEAR_ONLY = frozenset({"train", "evaluate", "query.counts"})
EVALUATIONS = frozenset({"query.counts", "query.masked"})
PRIVATE_ONLY = frozenset({"query.spent"})
COUNTS = frozenset({"validation-good", "validation-bad"})


@dataclass(frozen=True)
class Field:
    """One field of one message: its level here, what it may hold, and whether the study sends it: None is not fixed."""

    message: str
    key: str
    level: int
    holds: str
    is_sent: bool | None


@dataclass(frozen=True)
class Fixed:
    """What a study's schema fixes; None where it leaves it open."""

    is_masked: bool | None = None
    is_private: bool | None = None
    metrics: str | None = None
    personalises: bool | None = None
    evaluates: bool | None = None


def will_leave(fixed: Fixed, *, level: int, metrics_allowed: str = "exact") -> list[Field]:
    """Every field that may leave in the study, by message, for rows of this level; from messages.yaml, which the gate
    enforces.

    >>> masked = will_leave(Fixed(is_masked=True, is_private=True, metrics="none"), level=4)
    >>> [field.key for field in masked if field.message == "train.masked" and field.is_sent]
    ['config.secagg', 'config.secagg-deal', 'arrays']
    >>> any(field.is_sent for field in masked if field.message in ("train", "evaluate"))
    False
    """
    return [
        field
        for name, contract in contracts().items()
        for field in _fields(name, contract, fixed, level=level, metrics_allowed=metrics_allowed)
    ]


def fixed_by(schema: Mapping[str, Any]) -> Fixed:
    """What a JSON-schema of a task fixes.

    >>> fixed_by({"required": ["privacy"], "properties": {"privacy": {"type": "object"}, "metrics": {"const": "none"}}})
    Fixed(is_masked=None, is_private=True, metrics='none', personalises=None, evaluates=False)
    >>> masked = {"properties": {"masking": {"$ref": "#/$defs/m"}}, "$defs": {"m": {"type": "object"}}}
    >>> fixed_by(masked).is_masked
    True
    """
    metrics = value_of(schema, "metrics")
    return Fixed(
        is_masked=_is_there(schema, "masking"),
        is_private=_is_there(schema, "privacy"),
        metrics=metrics if isinstance(metrics, str) else None,
        personalises=_is_there(schema, "personal"),
        evaluates=_is_there(schema, "counts") if "counts" in schema.get("properties", {}) else False,
    )


def value_of(schema: Mapping[str, Any], *path: str) -> Any:
    """The value that the schema fixes for a field: its const, its only choice, or its maximum; None if it is open."""
    for name in path:
        found = schema.get("properties")
        schema = found.get(name, {}) if isinstance(found, Mapping) else {}
        if not isinstance(schema, Mapping):
            return None
    if "const" in schema:
        return schema["const"]
    choices = schema.get("enum")
    return choices[0] if isinstance(choices, list) and len(choices) == 1 else schema.get("maximum")


@dataclass(frozen=True)
class Left:
    """What left in messages of one type: how many, their bytes in all, rounds, keys, and arrays by name and shape."""

    message: str
    count: int
    bytes: int
    rounds: tuple[int, ...]
    keys: tuple[str, ...]
    arrays: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """What left in one run, what was charged for it, and what was refused."""

    left: tuple[Left, ...]
    questions: int
    bytes: int
    charges: int
    epsilon_of_run: float | None
    epsilon_metrics: float | None
    lifetime_after: float | None
    refused: Mapping[str, int]


def runs_of(entries: Iterable[AuditEntry], *, study: str = "") -> list[str]:
    """The runs that the log has, of a study or of all, the one that was asked last first."""
    found = dict[str, int]()
    for entry in entries:
        run = entry.facts.get("run")
        if isinstance(run, str) and (not study or entry.facts.get("study") == study):
            found[run] = entry.seq
    return sorted(found, key=lambda run: found[run], reverse=True)


def did_leave(entries: Iterable[AuditEntry], *, run: str, study: str = "") -> Summary:
    """The log's own count of a run; of a study's only, if one is named."""
    mine = [e for e in entries if e.facts.get("run") == run and (not study or e.facts.get("study") == study)]
    sent = [entry.facts for entry in mine if entry.event == "left"]
    kinds = sorted({str(facts["type"]) for facts in sent})
    charges = [facts["charge"] for facts in sent if facts.get("charge")]
    codes = [str(entry.facts["code"]) for entry in mine if entry.event in ("refused", "error")]
    answered_at_once = sum("decision" in facts for facts in sent)
    return Summary(
        left=tuple(_left(kind, [facts for facts in sent if facts["type"] == kind]) for kind in kinds),
        questions=sum(entry.event == "asked" for entry in mine) + answered_at_once,
        bytes=sum(int(facts["bytes"]) for facts in sent),
        charges=len(charges),
        epsilon_of_run=_largest(charges, "epsilon_of_run"),
        epsilon_metrics=_largest(charges, "epsilon_metrics"),
        lifetime_after=float(charges[-1]["lifetime_after"]) if charges else None,
        refused=dict(sorted(Counter(codes).items())),
    )


def _largest(charges: list[Mapping[str, Any]], name: str) -> float | None:
    return max((float(charge[name]) for charge in charges if charge.get(name) is not None), default=None)


def _left(kind: str, sent: list[Mapping[str, Any]]) -> Left:
    keys = {f"{record}.{key}" for facts in sent for record, names in facts["records"].items() for key in names}
    arrays = {f"{name} {shape}" for facts in sent for name, shape in facts["arrays"]}
    rounds = {int(facts["round"]) for facts in sent if "round" in facts}
    return Left(
        message=kind,
        count=len(sent),
        bytes=sum(int(facts["bytes"]) for facts in sent),
        rounds=tuple(sorted(rounds)),
        keys=tuple(sorted(keys)),
        arrays=tuple(sorted(arrays)),
    )


def _fields(name: str, contract: Contract, fixed: Fixed, *, level: int, metrics_allowed: str) -> Iterator[Field]:
    is_sent = _is_sent(name, fixed)
    if name in EVALUATIONS and metrics_allowed == "none":
        is_sent = False
    for record, rules in contract.records.items():
        for key, rule in rules.items():
            sent = is_sent
            if key in COUNTS and (metrics_allowed != "exact" or fixed.metrics in ("none", "noised")):
                sent = False
            elif key in COUNTS and fixed.metrics is None:
                sent = is_sent and None
            elif key == "loss" and fixed.is_private is not False:
                sent = False if fixed.is_private else (is_sent and None)
            yield Field(name, f"{record}.{key}", rule.level_on(level), _holds(rule), sent)
    if contract.arrays is not None:
        words = (
            "one vector of uniform words, which opens to a sum only" if name in MASKED_ONLY else "the model's arrays"
        )
        if name == "query.counts":
            is_exact = metrics_allowed == "exact" and fixed.metrics != "noised"
            words = "counts of held-out rows by score, class and segment" + ("" if is_exact else ", with noise")
        yield Field(name, "arrays", contract.arrays.level_on(level), words, is_sent)


def _is_sent(name: str, fixed: Fixed) -> bool | None:
    if name in EVALUATIONS and (fixed.evaluates is False or fixed.metrics == "none"):
        return False
    if name in EVALUATIONS and fixed.evaluates is None and fixed.is_masked is (name == "query.masked"):
        return None
    if name in MASKED_ONLY:
        return fixed.is_masked
    if name in CLEAR_ONLY:
        return None if fixed.is_masked is None else not fixed.is_masked
    if name in PRIVATE_ONLY:
        return fixed.is_private
    if name == "train.personalise":
        return fixed.personalises
    if name == "query.champion":  # after a study, once a model was promoted
        return None
    return True


def _holds(rule: Rule) -> str:
    if rule.equals is not None:
        return f"the node's own {rule.equals}" + (", in the operator's words" if rule.words else "")
    if rule.sealed is not None:
        return f"keys, ciphertexts or signatures, at most {rule.sealed} bytes"
    if rule.one_of:
        return " or ".join(map(str, rule.one_of))
    if rule.length is not None:
        return f"{rule.length} counts that add up to the node's own {rule.total}"
    return f"a number, {rule.lo or 0:g} to {rule.hi or 0:g}, of six digits"


def _is_there(schema: Mapping[str, Any], name: str) -> bool | None:
    """Whether a part of the task is always there, never, or as the study likes."""
    properties = schema.get("properties")
    part = properties.get(name) if isinstance(properties, Mapping) else None
    defined = schema.get("$defs")
    if isinstance(part, Mapping) and set(part) == {"$ref"} and isinstance(defined, Mapping):
        part = defined.get(str(part["$ref"]).removeprefix("#/$defs/"))
    if not isinstance(part, Mapping):
        return None
    if part.get("type") == "null" or ("const" in part and part["const"] is None):
        return False
    # A task always has all of its fields (`Task.from_json`), so what is of type object is there.
    return True if part.get("type") == "object" or isinstance(part.get("const"), Mapping) else None
