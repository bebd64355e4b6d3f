"""The champion steps back for the one before it: because a person says so, or because it is not healthy."""

from __future__ import annotations

from fedcredit.errors import ModelError, PolicyRefused
from server.promotion.desk import Desk
from server.promotion.history import Event, Promoted, promoted_by
from server.promotion.pointer import write_pointer


class RollbackRefused(PolicyRefused):
    """There is no champion to go back to, or its bundle is no longer what was promoted."""

    code = "rollback"


def rollback(desk: Desk, *, reason: str, by: str = "", over: str | None = None) -> Promoted:
    """Make the champion before this one the champion again; it was approved then, so nobody needs to sign.

    `over` is the digest of the champion that is to step back: if somebody was faster, nothing happens.

    Raises:
        RollbackRefused: nothing was champion before, its bundle was changed, or another one is champion than `over`.
    """
    with desk.locked():
        state = desk.mend_held()
        champion, previous = state.champion, state.previous
        if champion is not None and over is not None and champion.bundle_sha256 != over:
            found = f"version {champion.version}, {champion.bundle_sha256[:12]}, as champion"
            raise RollbackRefused(desk.name, found=found, expected=over[:12], hint="somebody was faster; look again")
        if champion is None or previous is None:
            raise _nothing_before(desk, champion)
        try:
            desk.bundle(previous.bundle_sha256)
        except ModelError as fault:
            hint = "restore the desk's folder from its backup; the champion in force stays"
            raise RollbackRefused(fault.where, found=fault.found, expected=fault.expected, hint=hint) from None
        return _back(desk, "rolled-back", champion, previous, reason=reason, by=by)


def fallback(desk: Desk, reason: str, *, over: str | None = None) -> Promoted:
    """The last champion before this one whose bundle is whole takes its place: what a service calls in need.

    `over` is the digest of the champion that is not healthy. If another one is champion by now, that one is the
    answer and nothing changes; so of several services that notice the same fault one falls back, once.

    Raises:
        RollbackRefused: there is none to fall back on.
    """
    with desk.locked():
        state = desk.mend_held()
        champion = state.champion
        if champion is not None and over is not None and champion.bundle_sha256 != over:
            return champion
        if champion is not None:
            for one in reversed(state.champions[:-1]):
                if one.bundle_sha256 != champion.bundle_sha256 and _is_whole(desk, one):
                    return _back(desk, "fell-back", champion, one, reason=reason, by="service")
        raise _nothing_before(desk, champion)


def _back(desk: Desk, event: Event, champion: Promoted, to: Promoted, *, reason: str, by: str) -> Promoted:
    facts = {
        "bundle_sha256": to.bundle_sha256,
        "version": to.version,
        "from": champion.bundle_sha256,
        "from_version": champion.version,
        "reason": reason[:500],
        "by": by[:80],
    }
    entry = desk.record(event, facts)
    write_pointer(desk.folder, desk.state())
    return promoted_by(entry)


def _is_whole(desk: Desk, one: Promoted) -> bool:
    try:
        desk.bundle(one.bundle_sha256)
    except ModelError:
        return False
    return True


def _nothing_before(desk: Desk, champion: Promoted | None) -> RollbackRefused:
    found = f"version {champion.version}, before which there is none" if champion else "no champion"
    hint = "promote another version: fedcredit model promote VERSION"
    return RollbackRefused(desk.name, found=found, expected="a champion before it", hint=hint)
