"""An institution's part in a masked sum: what it trained leaves as uniform words, and shares that open only the sum."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Mapping

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray
from torch import nn

from clients.consent import terms_here
from clients.institution import Institution
from clients.policy import AskRefused
from clients.question import config_of, question_of
from clients.training import noisy_sum, train_plainly, train_private
from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.federation import personal
from fedcredit.federation.arrays import decode, encode, record_of
from fedcredit.federation.masked import BAD, EVALUATES, GOOD, WEIGHT, Layout, flattened, model_sha256, settings_sha256
from fedcredit.federation.messages import (
    ARRAYS,
    CONFIG,
    DEAL,
    MAX_EXAMPLES,
    SCORE_BINS,
    SECAGG,
    WORDS,
    Task,
)
from fedcredit.models.train import evaluate as probabilities
from fedcredit.privacy.secagg import ClientSession
from fedcredit.privacy.secagg.round_messages import SurvivorSet
from fedcredit.privacy.weights import WEIGHT_ONE, weight_units

log = logging.getLogger(__name__)
MAX_ATTEMPT = 1000


def answer(
    message: Message, here: Institution, task: Task, *, size: int, step: Callable[[ClientSession, bytes], bytes]
) -> Message:
    """One step of the protocol: the bytes that came in give those that go out."""
    config = config_of(message)
    said = step(session_of(config, here, task, size=size), bytes_in(config))
    return Message(RecordDict({CONFIG: ConfigRecord({SECAGG: said})}), reply_to=message)


def deal(session: ClientSession, message: Message) -> bytes:
    """Shares for the round and attempt that the message names; the first time it brings everybody's proofs of keys."""
    config = config_of(message)
    if config.get("confirms") == 1:
        session.confirm(bytes_in(config))
    return session.deal(whole(config, "server-round"), attempt=whole(config, "attempt", most=MAX_ATTEMPT))


def sign(
    session: ClientSession, data: bytes, *, task: Task, least_sum: int | None = None, counts_only: bool = False
) -> bytes:
    """Our signature over the survivors, if they are enough for the noise that the sum shall have, and for us."""
    is_shared = task.privacy is not None and task.privacy.noise == "distributed"
    dropouts = task.privacy.dropouts if task.privacy is not None and is_shared else None
    if counts_only:
        dropouts = task.counts.dropouts if task.counts is not None and task.counts.is_noised else None
    least = len(session.plan.roster.names) - dropouts if dropouts is not None else 0
    survivors = len(SurvivorSet.from_bytes(data).payloads)
    if survivors < least:
        raise PolicyRefused("masked sum", found=f"{survivors} survivors", expected=f"{least} or more, for its noise")
    if least_sum is not None and survivors < least_sum:  # the task named enough, and too few of them are left
        raise AskRefused("cohort", found=f"{survivors} survivors", expected=f"a sum of {least_sum} or more here")
    return session.sign_survivors(data)


def upload(
    message: Message, here: Institution, task: Task, model: nn.Module, *, proximal_mu: float, number: int
) -> Message:
    """Train the global model and send the update under masks, with the shares of the next round.

    Whether the round is one that we take part in is asked before the budget is charged.
    """
    config, incoming = config_of(message), message.content[ARRAYS]
    if not isinstance(incoming, ArrayRecord):
        raise ConfigError("message", found="no arrays", expected="the global model")
    before = flattened({name: decode(array) for name, array in incoming.items()})
    session, start, digest = session_of(config, here, task, size=len(before)), bytes_in(config), model_sha256(incoming)
    is_training = not config.get(EVALUATES)
    cap = whole(config, "cap", least=1, most=MAX_EXAMPLES) if is_training else 0
    weighing = hashlib.sha256(f"{cap}/{proximal_mu}".encode()).digest() if is_training else b""
    session.require_start(start, model_sha256=digest, weighing=weighing)
    layout = Layout.of(task, session.plan.roster.names, size=len(before))
    counts = _validation(model, here) if layout.has_counts and number > 1 else _nobody(layout)
    reals, weight = np.zeros(layout.encoding.size), 0
    if is_training:
        reals, weight = _trained(model, before, here, task, layout=layout, cap=cap, mu=proximal_mu, number=number)
    encoded = session.plan.encoding.encode(reals, {WEIGHT: weight, **counts})
    bound = settings_sha256(config)
    head, words = session.upload(start, model_sha256=digest, settings_sha256=bound, encoded=encoded, weighing=weighing)
    said: dict[str, bytes] = {SECAGG: head}
    if config.get("deals") == 1:
        said[DEAL] = session.deal(number + 1)
    content = RecordDict({ARRAYS: record_of({WORDS: encode(words)}), CONFIG: ConfigRecord(dict(said))})
    return Message(content, reply_to=message)


def _trained(
    model: nn.Module,
    before: NDArray[np.float64],
    here: Institution,
    task: Task,
    *,
    layout: Layout,
    cap: int,
    mu: float,
    number: int,
) -> tuple[NDArray[np.float64], int]:
    """The reals of the sum, and the weight: the update times it, or under distributed noise the noisy sum."""
    terms, count = terms_here(here, task), len(here.train) if task.privacy is None else here.companies
    if count > cap:
        log.info("weight capped: %d of %d count, so that no institution has more than a third", cap, count)
    if terms is not None and terms.noise == "distributed":
        share, scale = min(count, cap) / count, layout.encoding.scale
        return noisy_sum(model, here, task, terms=terms, number=number, scale=scale, weight=share), min(count, cap)
    loss = 0.0
    if terms is None:
        loss = train_plainly(model, here, task, number=number, proximal_mu=mu)
    else:
        train_private(model, here, task, terms=terms, number=number)
    personal.keep_head(here.folder(task.run), model, share=task.share, number=number)
    units = weight_units(count, cap=cap)
    after = flattened({name: value.numpy() for name, value in personal.shared(model, share=task.share).items()})
    reals = (after - before) * (units / WEIGHT_ONE)
    if layout.has_loss:
        known = min(loss, task.masking.limit if task.masking else 0.0) if math.isfinite(loss) else 0.0
        reals = np.append(reals, known * units / WEIGHT_ONE)
    return reals, units


def _validation(model: nn.Module, here: Institution) -> dict[str, NDArray[np.int64]]:
    if not len(here.validation):
        return {GOOD: np.zeros(SCORE_BINS, np.int64), BAD: np.zeros(SCORE_BINS, np.int64)}
    counts = ScoreGrid(bins=SCORE_BINS).count(probabilities(model, here.validation.x), here.validation.y.numpy())
    return {GOOD: counts[0].astype(np.int64), BAD: counts[1].astype(np.int64)}


def _nobody(layout: Layout) -> dict[str, NDArray[np.int64]]:
    zeros = np.zeros(SCORE_BINS, np.int64)
    return {GOOD: zeros, BAD: zeros} if layout.has_counts else {}


def session_of(config: ConfigRecord, here: Institution, task: Task, *, size: int) -> ClientSession:
    """Our side of the sum that the message is about."""
    session = config.get("session")
    if not isinstance(session, str) or not session.isalnum():
        raise ConfigError("session", found="another value", expected="letters and digits")
    return here.masks_of(task, session=session, size=size, question=question_of(config))


def bytes_in(config: Mapping[str, object]) -> bytes:
    """The protocol's message in a config record."""
    said = config.get(SECAGG)
    if not isinstance(said, bytes):
        raise ConfigError(SECAGG, found="another value", expected="a message of the masking protocol")
    return said


def whole(config: Mapping[str, object], name: str, *, least: int = 0, most: int = 100_000) -> int:
    """A whole number of a config record."""
    value = config.get(name)
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(name, found="another value", expected=f"{least} to {most}")
    return value
