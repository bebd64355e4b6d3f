"""A message becomes a question to the institution's policy, and question and answer lines of its audit log.

A question that may charge a budget is on disk before it does, and what leaves before it leaves. So whatever a crash
cuts short, the log has at least what the ledger and the platform have.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from flwr.app import Array, ConfigRecord, Context, Message

from clients.allowed import Rules, in_force, purpose_of
from clients.audit_entry import AuditBroken, Event, account_digest
from clients.audit_log import AuditLog, opened_log
from clients.institution import Institution, facts_of
from clients.policy import Ask, AskRefused, Clamped, Granted, Refused, decide, takes_model, terms_under
from clients.question import config_of, question_of
from fedcredit.data.governance.masking import mask_text
from fedcredit.errors import BudgetSpent, ConfigError, FedCreditError
from fedcredit.federation.champion import CHAMPION, Sent
from fedcredit.federation.masked import EVALUATES
from fedcredit.federation.messages import (
    CONFIG,
    COUNTING,
    MASKED,
    SECAGG,
    SURVIVORS,
    TRAIN,
    UNMASK,
    PrivacyTerms,
    Task,
)
from fedcredit.privacy.ledger import Account
from fedcredit.privacy.secagg.round_messages import Release, SurvivorSignature

log = logging.getLogger(__name__)
# These may charge a company's budget, so the question is on disk before; else one line has question and answer.
MAY_CHARGE = (TRAIN, MASKED, *COUNTING)
SUMS: Mapping[str, type[SurvivorSignature] | type[Release]] = {SURVIVORS: SurvivorSignature, UNMASK: Release}
MAX_WORD = 120  # of a name that the platform chose
MAX_ARRAYS = 64  # whose names an entry lists; of more it has the number


def permit(message: Message, context: Context, here: Institution, task: Task) -> None:
    """Return if the institution's policy and the consortium's manifest allow the message; clamped terms are fine.

    Without a policy, everything is as the node's other settings say.

    Raises:
        AskRefused: with the rule as its code.
        BudgetSpent: the run was planned under a larger lifetime than the policy has now.
        ManifestRefused, SealBroken: there is no manifest that holds.
        AuditBroken: the question could not be put on record.
    """
    said = _decision(message, here, task)
    if message.metadata.message_type in (*MAY_CHARGE, CHAMPION):
        _check_lifetime(here, task, _account(message, here, task))
        _append(context, "asked", {**_question(message, here, task), **said})


def _account(message: Message, here: Institution, task: Task) -> Account | None:
    """Whose account the message is charged to; None where it spends nothing that is counted."""
    if message.metadata.message_type == CHAMPION:
        return None
    if message.metadata.message_type in COUNTING:
        return here.counts_account(task) if task.metrics == "noised" else None
    return here.account_of(task, delta=task.privacy.delta) if task.privacy is not None else None


def _check_lifetime(here: Institution, task: Task, account: Account | None) -> None:
    """Return if the run's plan is within the lifetime that the policy has now; it may have had a larger one then.

    Raises:
        BudgetSpent: the officer has lowered it since.
    """
    most = here.policy.epsilon.lifetime if here.policy is not None else None
    if most is None or account is None:
        return
    plans = here.ledger_of(task).planned(account)
    after = max((plan.epsilon_after for plan in plans), default=0.0)
    if after > most:
        hint = "fedcredit node ledger close RUN gives back what is not charged yet"
        raise BudgetSpent(
            "lifetime", found=f"epsilon {after:.4g}, planned", expected=f"at most {most:g} now", hint=hint
        )


def _decision(message: Message, here: Institution, task: Task) -> dict[str, Any]:
    """What was decided and why, if it was not refused."""
    now, why, purpose, terms = datetime.now(UTC), tuple[str, ...](), "", task.privacy
    is_model = message.metadata.message_type == CHAMPION
    if here.manifest is not None:
        rule = Rules(here.manifest).of(task.study, at=now)
        if is_model:  # no task of the study, so its schema is not for it
            purpose = in_force(rule, at=now).purpose
        else:
            purpose = purpose_of(rule, str(message.content[CONFIG]["task"]), at=now)
    ask = ask_of(task, here, purpose=purpose, at=now)
    if is_model:
        return _model_let_in(here, ask)
    if here.policy is not None:
        match decide(here.policy, ask):
            case Refused(reason, what):
                raise AskRefused(reason, found="what the policy does not allow", expected="what it does", hint=what)
            case Clamped(clamped, because):
                terms, why = clamped, because
            case Granted():
                pass
    return {
        "decision": "clamped" if why else "granted",
        "why": list(why),
        "purpose": _word(purpose),
        "cohort": ask.cohort,
        "metrics": ask.metrics,
        "columns": len(ask.columns),
        "level": here.level,
        "terms": None if terms is None else asdict(terms),
    }


def _model_let_in(here: Institution, ask: Ask) -> dict[str, Any]:
    refused = takes_model(here.policy, ask) if here.policy is not None else None
    if refused is not None:
        found, expected = "a model that the policy does not let in", "one that it does"
        raise AskRefused(refused.reason, found=found, expected=expected, hint=refused.ask)
    return {"decision": "granted", "purpose": _word(ask.purpose)}


def ask_of(task: Task, here: Institution, *, purpose: str, at: datetime) -> Ask:
    """What the task asks of this institution. Every column has the level of the rows: that of the most harmful one."""
    return Ask(
        study=task.study,
        purpose=purpose,
        columns=dict.fromkeys(task.features, here.level),
        terms=task.privacy,
        cohort=len(here.group_of(task)) if task.masking is not None else 1,
        metrics=task.metrics,
        is_masked=bool(here.group_of(task)),
        at=at,
        counts=task.counts,
    )


def terms_here(here: Institution, task: Task) -> PrivacyTerms | None:
    """The terms to train under: the task's, or what the policy clamps them to; `permit` has seen that it may be.

    Only training uses them. All that the institutions agree on, such as the plan of the masks, is the task's own.
    """
    if here.policy is None:
        return task.privacy
    match terms_under(here.policy, task.privacy):
        case Refused(reason, what):
            raise AskRefused(reason, found="what the policy does not allow", expected="what it does", hint=what)
        case Granted(terms) | Clamped(terms, _):
            return terms


def release(reply: Message, message: Message, context: Context, here: Institution, task: Task) -> Message:
    """The reply, once what leaves is on record; `here` under the policy as it is now.

    Raises:
        AskRefused: the policy was stopped or changed for another while the answer was made.
        AuditBroken: it could not be put on record.
    """
    if here.policy is not None and here.policy.stopped:
        raise AskRefused("stopped", found="a node that was stopped", expected="one that answers")
    if _log_of(context) is None:
        return reply
    kind, arrays, size, keys = message.metadata.message_type, list[list[Any]](), 0, dict[str, list[str]]()
    said = {} if kind in (*MAY_CHARGE, CHAMPION) else _decision(message, here, task)
    for name, record in reply.content.items():
        for key, value in record.items():
            size += len(key) + _size(value)
            if isinstance(value, Array):
                arrays.append([key, list(value.shape)])
        keys[name] = [] if all(isinstance(value, Array) for value in record.values()) else list(record)
    facts = {
        **_question(message, here, task),
        **said,
        **_sum(kind, reply),
        "records": keys,
        "arrays": arrays[:MAX_ARRAYS],
        "array_count": len(arrays),
        "bytes": size,
        **({"evaluates": True} if _only_evaluates(message) else {}),
        "charge": _charge(message, here, task) if kind in MAY_CHARGE else None,
    }
    _append(context, "left", facts)
    return reply


def record_fault(code: str, message: Message, context: Context, *, is_refusal: bool) -> str:
    """The code that may be answered, once it is on record; `audit` where that was not possible."""
    try:
        facts: dict[str, Any] = {"type": _word(message.metadata.message_type)}
        if _log_of(context) is not None:
            facts |= _named(message)
            _append(context, "refused" if is_refusal else "error", {**facts, "code": code})
    except FedCreditError as fault:
        log.error("the audit log takes no entry: %s", fault)  # noqa: TRY400 - its text is all there is to know
        return AuditBroken.code
    return code


def _sum(kind: str, reply: Message) -> dict[str, Any]:
    """Which sum an answer signs or opens: it says so itself, and a set-up has many rounds."""
    if kind not in SUMS:
        return {}
    said = SUMS[kind].from_bytes(reply.content[CONFIG][SECAGG])
    return {"plan": said.plan.hex(), "round": said.round, "attempt": said.attempt}


def _question(message: Message, here: Institution, task: Task) -> dict[str, Any]:
    facts = {"type": message.metadata.message_type, **_named(message)}
    if message.metadata.message_type == CHAMPION:
        facts["bundle_sha256"] = Sent.from_content(message.content).bundle_sha256
    account = _account(message, here, task)
    if account is not None:
        facts["account"] = account_digest(account.run)
    if message.metadata.message_type in COUNTING and (asked := question_of(config_of(message))) is not None:
        facts["counts"] = {"split": asked.split, "column": asked.column, "shape": list(asked.shape)}
    return facts


def _named(message: Message) -> dict[str, Any]:
    """Which study, run and round the message says that it belongs to, as far as it can be read."""
    config = message.content.get(CONFIG) if message.has_content() else None
    if not isinstance(config, ConfigRecord):
        return {}
    numbers = {"round": config.get("server-round"), "attempt": config.get("attempt")}
    facts: dict[str, Any] = {name: value for name, value in numbers.items() if type(value) is int}
    if isinstance(session := config.get("session"), str):
        facts["session"] = _word(session)
    try:
        task = Task.from_config(config)
    except (FedCreditError, ValueError, TypeError):
        return facts
    return {**facts, "study": _word(task.study), "run": _word(task.run)}


def _only_evaluates(message: Message) -> bool:
    """Whether a message trains nothing; said of one in the clear, which trains all the same, the word means nothing."""
    return message.metadata.message_type == MASKED and bool(message.content[CONFIG].get(EVALUATES))


def _charge(message: Message, here: Institution, task: Task) -> dict[str, Any] | None:
    """The newest charge of the round, by the number and hash of its entries in the ledger; none if nothing trained."""
    config, account = message.content[CONFIG], _account(message, here, task)
    number = config.get("server-round", 0)
    if account is None or _only_evaluates(message) or not isinstance(number, int):
        return None
    entries = here.ledger_of(task).charged(account, number=number)
    if not entries:
        return None
    return {
        "entries": [[entry.seq, entry.hash] for entry in entries],
        "noise": entries[0].spends.noise_scale,
        **_planned_epsilon(message, here, task),
        "delta": account.delta,
        "lifetime_after": max(entry.epsilon_after for entry in entries),
    }


def _planned_epsilon(message: Message, here: Institution, task: Task) -> dict[str, float | None]:
    """What all rounds of the run spend, or all evaluations of the study: two figures that are kept apart."""
    if message.metadata.message_type in COUNTING:
        return {"epsilon_metrics": task.counts.epsilon if task.counts is not None else None}
    terms = terms_here(here, task)
    return {"epsilon_of_run": terms.epsilon if terms is not None else None}


def _append(context: Context, event: Event, facts: Mapping[str, Any]) -> None:
    kept = _log_of(context)
    if kept is not None:
        kept.append(event, facts)


def _log_of(context: Context) -> AuditLog | None:
    """The node's audit log, which needs no table and no policy, so that what refuses them is on record too."""
    facts = facts_of(context)
    if "audit" not in facts:
        return None
    if "identity" not in facts:
        hint = "node_config: identity names the file of the key that signs it"
        raise ConfigError("node_config", found="an audit log, no identity", expected="both", hint=hint)
    return opened_log(str(facts["audit"]), str(facts["identity"]))


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    """A name that the platform chose, as far as it is one: whatever looks like somebody's code in it is masked."""
    said = mask_text(text[:MAX_WORD])
    return said if said.isprintable() else json.dumps(said)


def _size(value: Any) -> int:
    if isinstance(value, Array):
        return len(value.data)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, str):
        return len(value.encode())
    return 8 * len(value) if isinstance(value, list) else 8
