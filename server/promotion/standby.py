"""A bundle on the desk becomes challenger or shadow: it scores beside the champion and decides nothing."""

from __future__ import annotations

from typing import Literal

from server.promotion.desk import Desk
from server.promotion.history import Promoted
from server.promotion.pointer import write_pointer
from server.promotion.promote import PromotionRefused

Role = Literal["challenger", "shadow"]


def stand_by(desk: Desk, role: Role, sha256: str | None, *, by: str = "") -> Promoted | None:
    """Put the bundle with this digest in the place, or nobody; who stands there now.

    Nobody has to sign: no decision comes of it. The bundle is verified like any other.

    Raises:
        PromotionRefused: it is the champion.
        ModelError: it is not on the desk, or was changed.
        GatesRefused: the desk was not founded.
    """
    with desk.locked():
        state = desk.mend_held()
        desk.gates()
        if sha256 is not None:
            desk.bundle(sha256)
            if state.champion is not None and state.champion.bundle_sha256 == sha256:
                raise PromotionRefused(desk.name, found="the champion", expected=f"another bundle as {role}")
        version = None if sha256 is None else desk.version(sha256)
        desk.record(role, {"bundle_sha256": sha256, "version": version, "by": by[:80]})
        after = desk.state()
        write_pointer(desk.folder, after)
        return after.challenger if role == "challenger" else after.shadow
