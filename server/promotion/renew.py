"""The champion in force gets a fresh approval beside it: after a rollback, nodes then go back to it too."""

from __future__ import annotations

from datetime import datetime

from fedcredit.trust.files import write_whole
from server.promotion.approvals import approved
from server.promotion.desk import Desk, DeskRefused
from server.promotion.history import Promoted
from server.promotion.kept import PROMOTION


def renew(desk: Desk, *, now: datetime) -> Promoted:
    """Put the approval that was signed for the champion in force into its bundle; who is champion does not change.

    A node takes no approval that is older than the one it has, so a rollback at the platform alone does not reach it.

    Raises:
        DeskRefused: there is no champion.
        ApprovalRefused: too few people have signed for the champion since it came into force.
        HistoryBroken: the history was edited, or cannot be written.
    """
    with desk.locked():
        champion = desk.mend_held().champion
        if champion is None:
            raise DeskRefused(desk.name, found="no champion", expected="one", hint="fedcredit model promote makes one")
        signed = approved(desk, champion.bundle_sha256, gates=desk.gates(), now=now)
        facts = {
            "bundle_sha256": champion.bundle_sha256,
            "version": champion.version,
            "approvers": list(signed.by),
            "approval_sha256": signed.approval.sha256,
        }
        write_whole(desk.bundle(champion.bundle_sha256) / PROMOTION, signed.data)
        desk.record("renewed", facts)
        return champion
