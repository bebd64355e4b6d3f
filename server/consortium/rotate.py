"""Keys that grow old, are lost or are taken away become the next manifest: members, operators, officers, authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.link.authority import Authority
from fedcredit.trust.handover import Officers, officers_in, seal_handover
from fedcredit.trust.manifest import Manifest
from server.consortium import officers
from server.consortium.authorities import not_moved, successor
from server.consortium.home import ChangeWaits, Consortium
from server.consortium.officers import read_public
from server.consortium.pending import Pending

ROTATE_OFFICERS = "rotate officers"


class NotYet(PolicyRefused):
    """A step of a rotation comes before others are done."""

    code = "rotation"


def revoked(consortium: Consortium, name: str, *, now: datetime) -> Manifest:
    """The next manifest, in which the member or operator of this name is revoked. Raises ConfigError if none is."""
    current = consortium.current()
    if current.member(name) is None and current.operator(name) is None:
        active = [one.name for one in current.active_members] + [one.name for one in current.active_operators]
        raise ConfigError("NAME", found=f"no active {name}", expected=f"one of {', '.join(active) or 'none yet'}")
    return consortium.next_version(
        now=now,
        members=tuple(
            replace(one, status="revoked", since=now) if one.name == name and one.status == "active" else one
            for one in current.members
        ),
        operators=tuple(
            replace(one, status="revoked", since=now) if one.name == name and one.status == "active" else one
            for one in current.operators
        ),
    )


def other_officers(
    consortium: Consortium, *, add: Sequence[str], remove: Sequence[str], threshold: int | None
) -> Pending:
    """The record that other officers take over, to be signed by those in force and by the new ones.

    Raises:
        ConfigError: nothing changes, or the threshold does not fit.
    """
    current = consortium.current()
    names, least = _officers_to_be(current, add=add, remove=remove, threshold=threshold)
    waiting = consortium.pending()
    if waiting is not None and waiting.change == ROTATE_OFFICERS:
        _check_same(waiting, current, names=names, add=add, threshold=least)
        return waiting
    new = officers.changed(current.officers, add=add, remove=remove, folder=consortium.places.officers)
    if new == current.officers and least == current.threshold:
        raise ConfigError("rotate officers", found="the same officers", expected="--add, --remove or --threshold")
    record = seal_handover(Officers(current.consortium, current.version + 1, least, new), by=[])
    return Pending(ROTATE_OFFICERS, handover=record)


def described_officers(
    consortium: Consortium, *, add: Sequence[str], remove: Sequence[str], threshold: int | None
) -> list[str]:
    """What `other_officers` would change; no key is made. Raises ConfigError if the threshold does not fit."""
    current = consortium.current()
    names, least = _officers_to_be(current, add=add, remove=remove, threshold=threshold)
    return [f"{current.threshold} of {', '.join(current.officers)} -> {least} of {', '.join(sorted(names))}"]


def _officers_to_be(
    current: Manifest, *, add: Sequence[str], remove: Sequence[str], threshold: int | None
) -> tuple[set[str], int]:
    names = {word.partition("=")[0].strip() for word in add} | {n for n in current.officers if n not in remove}
    least = threshold or current.threshold
    if not 0 < least <= len(names):
        raise ConfigError("--threshold", found=f"{least} of {len(names)}", expected="1 or more of the officers")
    return names, least


def _check_same(waiting: Pending, current: Manifest, *, names: set[str], add: Sequence[str], threshold: int) -> None:
    """Return if what waits is what an officer typed: nobody signs in people that they have not named."""
    draft = waiting.draft() if waiting.manifest else None
    found = draft.officers if draft else officers_in(waiting.handover.encode()).identities
    least = draft.threshold if draft else officers_in(waiting.handover.encode()).threshold
    added = dict(word.partition("=")[::2] for word in add)
    given = {name.strip(): read_public(Path(file)) for name, file in added.items() if file}
    kept = {name: one for name, one in current.officers.items() if name not in {key.strip() for key in added}}
    known = {name: one for name, one in (kept | given).items() if name in names}
    if least != threshold or set(found) != names or any(found[name] != one for name, one in known.items()):
        raise ChangeWaits(
            "pending.json",
            found=f"{least} of {', '.join(sorted(found))}, or other keys",
            expected=f"{threshold} of {', '.join(sorted(names))}",
            hint="look at it with fedcredit consortium sign --dry-run; start anew with consortium sign --drop",
        )


def other_authority(consortium: Consortium, *, finish: bool, now: datetime) -> Pending:
    """The next manifest, in which a new X.509 authority stands beside the old one; or, to finish, alone.

    Raises:
        NotYet: to finish, every active member and operator needs a certificate of the new authority.
        ConfigError: a change of authority is not finished, or there is none to finish.
    """
    places = consortium.places

    def make(at: datetime) -> Manifest:
        current = consortium.current()
        if not finish:
            pem = successor(places, name=consortium.settings.name, now=at) + current.authority
            return consortium.next_version(now=at, authority=pem)
        if not places.old_authority.exists():
            raise ConfigError("--finish", found="one authority", expected="a change of authority that was begun")
        behind = not_moved(places, current)
        if behind:
            raise NotYet(
                "--finish",
                found=f"certificates of the old authority: {', '.join(behind)}",
                expected="none",
                hint="they send a new request; fedcredit consortium rotate member X.fcreq, or revoke NAME",
            )
        return consortium.next_version(now=at, authority=Authority.load(places.authority).pem)

    return consortium.prepared(f"rotate authority{' --finish' if finish else ''}", make, now=now)
