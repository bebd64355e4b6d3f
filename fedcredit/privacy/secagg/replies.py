"""Replies by institution become the good ones by index, and why each of the others was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from fedcredit.errors import FedCreditError
from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.refusals import KeyRefused, PlanRefused, TooFewRefused

R = TypeVar("R")
M = TypeVar("M")
Faults = Mapping[str, FedCreditError]  # by institution


class Sent(Protocol):
    """A message that says who sent it."""

    @property
    def sender(self) -> int:
        """The sender's index."""


class OfRound(Protocol):
    """A message of a (round, attempt)."""

    @property
    def round(self) -> int:
        """Its round."""

    @property
    def attempt(self) -> int:
        """Its attempt."""


S = TypeVar("S", bound=Sent)


def accept(
    plan: Plan, replies: Mapping[str, R], check: Callable[[int, R], M], *, least: int | None = None
) -> tuple[dict[int, M], dict[str, FedCreditError]]:
    """The replies that pass the check by index, and the error of each that does not. Raises TooFewRefused."""
    good: dict[int, M] = {}
    faults: dict[str, FedCreditError] = {}
    for name in sorted(replies):
        try:
            index = plan.roster.index(name)
            good[index] = check(index, replies[name])
        except FedCreditError as error:
            faults[name] = error
    needed = plan.roster.least if least is None else least
    if len(good) < needed:
        raise TooFewRefused(
            "secagg",
            found=f"{len(good)} good replies" + (f" (faulty: {', '.join(faults)})" if faults else ""),
            expected=f"at least {needed} of the roster's {len(plan.roster.names)}",
        )
    return dict(sorted(good.items())), faults


def require_sender(message: S, index: int) -> S:
    """The message, if it is of the member whose reply it came as. Raises KeyRefused otherwise."""
    if message.sender != index:
        raise KeyRefused("secagg reply", found="another member's message", expected="the sender's own")
    return message


def require_round(message: OfRound, round_: int, attempt: int) -> None:
    """Return if the message is of this (round, attempt). Raises PlanRefused otherwise."""
    if (message.round, message.attempt) != (round_, attempt):
        raise PlanRefused("secagg reply", found="a message of another round or attempt", expected="this one's")
