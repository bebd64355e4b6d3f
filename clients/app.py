"""The institution's ClientApp: a task and a global model come in, an update or a few counts go out.

`context.node_config` holds the institution's facts, the message's config what the study asks. Every reply goes through
the egress gate. An exception leaves as a code; its text stays in the institution's own log, identifiers masked.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from clients import counting, masks
from clients.champion_message import keep_champion
from clients.consent import permit, record_fault, release, terms_here
from clients.egress import known_code, pass_reply, refusal
from clients.institution import Rows, institution_of
from clients.opening import (
    open_task,
    outside_masked,
    outside_plain,
    proximal_mu,
    receive,
    refuse_in_the_clear,
    size_of,
)
from clients.question import question_of
from clients.training import batch_order, train_plainly, train_private
from fedcredit.data.governance.gate import six_digits
from fedcredit.data.governance.masking import LOGS
from fedcredit.errors import FedCreditError, PolicyRefused
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.federation import personal
from fedcredit.federation.arrays import encode, record_of
from fedcredit.federation.champion import CHAMPION
from fedcredit.federation.messages import (
    ARRAYS,
    CONFIG,
    COUNTING,
    EXAMPLES,
    METRICS,
    SCORE_BINS,
    TRAIN,
    Task,
)
from fedcredit.federation.packing import packed_mod
from fedcredit.models.train import evaluate as probabilities
from fedcredit.privacy.mechanism import run_epsilon
from fedcredit.privacy.secagg import ClientSession

MAX_LOSS = 1e6  # as in messages.yaml; a model that has gone astray says no more than that
LOGS.install()
log = logging.getLogger(__name__)
app = ClientApp(mods=[packed_mod])

Handler = Callable[[Message, Context], Message]


def coded(handler: Handler) -> Handler:
    """The handler with its reply sent through the gate, and every exception turned into a code without text."""

    @functools.wraps(handler)
    def guarded(message: Message, context: Context) -> Message:
        kind = message.metadata.message_type
        try:
            reply = handler(message, context)
            here = institution_of(context, with_rows=kind != CHAMPION)
            task = Task.from_config(message.content[CONFIG])
            arrays = outside_plain(task) if kind == TRAIN else outside_masked(task, here, kind)
            if kind in COUNTING:
                arrays = counting.outside_counts(task, here, message)
            passed = pass_reply(reply, to=message, here=here, task=task, arrays=arrays)
            return release(passed, message, context, here, task)
        except FedCreditError as fault:
            log.warning("%s refused: %s", kind, fault)
            code, is_refusal = fault.code, isinstance(fault, PolicyRefused)
        except Exception:
            log.exception("%s failed", kind)
            code, is_refusal = "internal", False
        return refusal(record_fault(known_code(code), message, context, is_refusal=is_refusal), message)

    return guarded


@app.query("describe")
@coded
def describe(message: Message, context: Context) -> Message:
    """Who this institution is and what its table looks like; nothing about any company."""
    here, task = institution_of(context), Task.from_config(message.content[CONFIG])
    permit(message, context, here, task)
    companies, rows = here.sizes(task)
    facts = {
        "institution": here.name,
        "schema-sha256": here.schema_sha256,
        "label-definition": here.label_definition,
        "companies": companies,
        "rows": rows,
    }
    return Message(RecordDict({CONFIG: ConfigRecord(facts)}), reply_to=message)


@app.train()
@coded
def train(message: Message, context: Context) -> Message:
    """Score the incoming model on the institution's validation rows, train it on the others, send the update."""
    here, task, number = open_task(message, context)
    refuse_in_the_clear(task)
    model = receive(message, task, here=here)
    metrics: dict[str, int | float | list[int]] = {}
    if task.metrics == "exact" and number > 1 and len(here.validation):
        metrics |= _counts(model, here.validation)
    terms = terms_here(here, task)
    if terms is None:
        loss = train_plainly(model, here, task, number=number, proximal_mu=proximal_mu(message))
        if math.isfinite(loss):
            metrics["loss"] = six_digits(min(loss, MAX_LOSS))
        metrics[EXAMPLES] = len(here.train)
    else:
        if proximal_mu(message):
            raise PolicyRefused(
                "proximal-mu", found="a proximal term, under privacy", expected="a strategy without one"
            )
        train_private(model, here, task, terms=terms, number=number)
        metrics[EXAMPLES] = here.companies
    personal.keep_head(here.folder(task.run), model, share=task.share, number=number)
    arrays = {name: encode(value.numpy()) for name, value in personal.shared(model, share=task.share).items()}
    return Message(RecordDict({ARRAYS: record_of(arrays), METRICS: MetricRecord(metrics)}), reply_to=message)


@app.train("masked")
@coded
def train_masked(message: Message, context: Context) -> Message:
    """As `train`, but the update, its weight and the counts leave in one masked vector that only a sum can open."""
    here, task, number = open_task(message, context)
    mu = proximal_mu(message)
    if task.privacy is not None and mu:
        raise PolicyRefused("proximal-mu", found="a proximal term, under privacy", expected="a strategy without one")
    return masks.upload(message, here, task, receive(message, task, here=here), proximal_mu=mu, number=number)


@app.query("keys")
@coded
def keys(message: Message, context: Context) -> Message:
    """Our public keys for one run's masks, signed."""
    return _masking(message, context, lambda session, _: session.offer_keys())


@app.query("agree")
@coded
def agree(message: Message, context: Context) -> Message:
    """Ciphertexts for the others, once all their keys are signed by the identities that we pinned."""
    return _masking(message, context, lambda session, data: session.encapsulate(data))


@app.query("confirm")
@coded
def confirm(message: Message, context: Context) -> Message:
    """Proofs that our keys agree."""
    return _masking(message, context, lambda session, data: session.agree(data))


@app.query("shares")
@coded
def shares(message: Message, context: Context) -> Message:
    """Sealed shares of a round's secrets, where they did not ride on the round before."""
    return _masking(message, context, lambda session, _: masks.deal(session, message))


@app.query("survivors")
@coded
def survivors(message: Message, context: Context) -> Message:
    """Our signature over who is in the sum."""
    task, policy = Task.from_config(message.content[CONFIG]), institution_of(context).policy
    least = policy.least_sum if policy is not None else None
    is_counting = question_of(message.content[CONFIG]) is not None

    def sign(session: ClientSession, data: bytes) -> bytes:
        return masks.sign(session, data, task=task, least_sum=least, counts_only=is_counting)

    return _masking(message, context, sign)


@app.query("unmask")
@coded
def unmask(message: Message, context: Context) -> Message:
    """Shares that open the sum, once enough of us have signed the same one."""
    return _masking(message, context, lambda session, data: session.release(data))


@app.train("personalise")
@coded
def personalise(message: Message, context: Context) -> Message:
    """Fine-tune the final model on the institution's own rows and keep it here; nothing of it goes out."""
    here, task, number = open_task(message, context)
    model = receive(message, task, here=here)
    personal.fine_tune(
        model, here.train.x, here.train.y, task=task, generator=batch_order(task, here.name, number=number)
    )
    personal.keep_model(here.folder(task.run), model)
    return Message(RecordDict({METRICS: MetricRecord({EXAMPLES: 1})}), reply_to=message)


@app.evaluate()
@coded
def evaluate(message: Message, context: Context) -> Message:
    """Additive counts of validation scores by class; nothing where the task asks for no metrics."""
    here, task, _ = open_task(message, context)
    refuse_in_the_clear(task)
    metrics: dict[str, int | float | list[int]] = {EXAMPLES: 1}
    if task.metrics == "exact" and len(here.validation):
        metrics |= _counts(receive(message, task, here=here), here.validation)
    return Message(RecordDict({METRICS: MetricRecord(metrics)}), reply_to=message)


@app.query("counts")
@coded
def counts(message: Message, context: Context) -> Message:
    """Held-out rows by score, class and segment: noised and charged, or exact where study and policy say so."""
    here, task, number = open_task(message, context)
    refuse_in_the_clear(task)
    return counting.in_the_clear(message, here, task, receive(message, task, here=here), number=number)


@app.query("masked")
@coded
def counts_masked(message: Message, context: Context) -> Message:
    """As `counts`, in one masked vector that only a sum can open."""
    here, task, number = open_task(message, context)
    return counting.under_masks(message, here, task, receive(message, task, here=here), number=number)


@app.query("spent")
@coded
def spent(message: Message, context: Context) -> Message:
    """Epsilon spent so far in this run at this institution, over all its rounds and attempts."""
    here, task, _ = open_task(message, context)
    delta = task.privacy.delta if task.privacy else 0.0
    history = here.ledger_of(task).history(here.account_of(task, delta=delta)) if task.privacy else []
    epsilon = six_digits(run_epsilon(history, delta=delta), upwards=True) if history else 0.0
    return Message(RecordDict({METRICS: MetricRecord({"epsilon": epsilon, "delta": delta})}), reply_to=message)


@app.query("champion")
@coded
def champion(message: Message, context: Context) -> Message:
    """Verify a promoted bundle and keep it as the node's champion; that it is kept, and nothing else, goes out.

    No row is looked at, so a node that trains on none, and only scores, takes it too.
    """
    here, task = institution_of(context, with_rows=False), Task.from_config(message.content[CONFIG])
    permit(message, context, here, task)
    is_new = keep_champion(message, context, here)
    return Message(RecordDict({METRICS: MetricRecord({"champion": int(is_new)})}), reply_to=message)


def _masking(message: Message, context: Context, step: Callable[[ClientSession, bytes], bytes]) -> Message:
    here, task, _ = open_task(message, context)
    return masks.answer(message, here, task, size=size_of(task), step=step)


def _counts(model: nn.Module, rows: Rows) -> dict[str, int | float | list[int]]:
    counts = ScoreGrid(bins=SCORE_BINS).count(probabilities(model, rows.x), rows.y.numpy())
    return {"validation-good": counts[0].tolist(), "validation-bad": counts[1].tolist()}
