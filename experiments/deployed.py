"""A unit becomes a run at a consortium: its institutions are the members, and their rows stay with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from fedcredit.federation.checkpoint import RoundRecord
from fedcredit.settings import StudySettings
from server.app import Conducted, Order
from server.consortium.operator import profile
from server.orders import DeployedOrder
from server.remote import conduct_on_consortium


def deployed_members(settings: StudySettings) -> list[str]:
    """The active members, by the manifest that the operator of this machine keeps."""
    kept = profile(settings.federation.consortium).manifest
    return sorted(member.name for member in kept.read(now=datetime.now(UTC)).active_members)


def conduct_deployed(
    order: Order, settings: StudySettings, *, unit: str, run: str, on_round: Callable[[RoundRecord], None]
) -> Conducted:
    """Conduct the order at the consortium. `run` is the run's own name: nodes tie it to its first task."""
    deployed = DeployedOrder(
        study=settings.study,
        run=run,
        unit=unit,
        task=replace(order.task, run=f"{settings.study}-{run}-{unit}"),
        plan=order.plan,
        strategy=order.strategy,
        questions=order.questions,
    )
    return conduct_on_consortium(
        deployed,
        profile(settings.federation.consortium),
        patience_seconds=settings.federation.wait_seconds,
        on_round=on_round,
    )
