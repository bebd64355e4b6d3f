"""People's signatures become the approval of one bundle, over one champion, past these gates, until a day."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.envelope import SealBroken, add_signature, canonical, open_sealed, peek, seal, signers_of
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import Identity
from fedcredit.trust.words import moment_of, moment_text
from server.promotion.desk import Desk
from server.promotion.evidence import read_evidence
from server.promotion.gates import Gates
from server.promotion.gates_file import read_sealed
from server.promotion.judged import refusal_of

KIND = "promotion"
SCHEMA = 1
DAYS = 7
AGAIN = "have it approved again: fedcredit model approve VERSION --key person.key"


class ApprovalRefused(PolicyRefused):
    """An approval is missing, expired, of too few different approvers, or of something else than what is promoted."""

    code = "approval"


@dataclass(frozen=True)
class Approval:
    """What the approvers sign; `over` is the champion that the bundle is to follow, None for the first.

    A champion in force may be approved over itself: nodes, which take no older approval, then go back to it.
    """

    model: str
    version: str
    bundle_sha256: str
    evidence_sha256: str
    gates_sha256: str
    over: str | None
    made: str
    expires: str
    schema: int = SCHEMA

    @property
    def sha256(self) -> str:
        """Digest of what was signed, by which the history knows an approval that was used."""
        return hashlib.sha256(canonical(asdict(self))).hexdigest()

    @property
    def last_moment(self) -> datetime:
        return moment_of(self.expires, where="expires")


@dataclass(frozen=True)
class Signed:
    """An approval's file: its bytes, who has signed it, and how many more have to."""

    approval: Approval
    data: bytes
    by: tuple[str, ...]
    needed: int
    was_renewed: bool = False


def approval_path(desk: Desk, sha256: str) -> Path:
    """Where the approval to promote a bundle lies."""
    return desk.folder / "approvals" / f"{sha256}-promote.json"


def approve(desk: Desk, sha256: str, *, by: Identity, now: datetime, days: int = DAYS) -> Signed:
    """Sign a bundle's promotion over the champion in force; the file with all signatures on it so far.

    Where others have signed the same, theirs is signed too. Where what they signed is no longer so - another champion,
    other evidence or gates, or it has expired - the approval starts anew with this signature.

    Raises:
        ApprovalRefused: the key is of no approver.
        EvidenceRefused: there is no evidence, or it is about another bundle or champion.
        GateRefused: a gate refuses the bundle.
        GatesRefused, HistoryBroken, ModelError: the desk or the bundle is not what was signed.
    """
    with desk.locked():
        desk.mend_held()
        gates = desk.gates()
        person = gates.person(by.public.fingerprint)
        if person is None:
            raise ApprovalRefused(
                "--key",
                found=f"the key {by.public.fingerprint[:16]}, of no approver",
                expected=f"that of {', '.join(gates.approvers)}",
                hint="approvers are named in the gates: fedcredit model gates show",
            )
        desk.bundle(sha256)
        wanted = wanted_approval(desk, sha256, gates=gates, now=now, expires=now + timedelta(days=days))
        if wanted.over != sha256:
            _require_gates(desk, sha256, gates)
        path = approval_path(desk, sha256)
        there, found = read_sealed(path), None
        if there is not None:
            found = _same(there, wanted, now=now, used=desk.state().used)
        data = add_signature(there, kind=KIND, by=by) if there is not None and found else None
        if data is None:
            while wanted.sha256 in desk.state().used:  # the same, approved and used within this second
                later = wanted.last_moment + timedelta(seconds=1)
                wanted = replace(wanted, expires=moment_text(later))
            data = seal(asdict(wanted), kind=KIND, by=[by])
        write_whole(path, data)
        return _signed(data, found or wanted, gates, was_renewed=there is not None and found is None)


def _require_gates(desk: Desk, sha256: str, gates: Gates) -> None:
    """Return if every gate lets the bundle pass: nodes go by two signatures alone, so nobody signs what is refused."""
    evidence = read_evidence(desk.evidence(sha256))
    refusal = refusal_of(gates.judge(evidence.figures, is_first=desk.champion() is None), evidence)
    if refusal is not None:
        raise refusal


def wanted_approval(desk: Desk, sha256: str, *, gates: Gates, now: datetime, expires: datetime) -> Approval:
    """The approval as it has to be now. Raises EvidenceRefused: there is no evidence that fits."""
    champion = desk.champion()
    over = champion.bundle_sha256 if champion else None
    evidence = read_evidence(desk.evidence(sha256))
    was_over = evidence.against.bundle_sha256 if evidence.against else None
    evidence.check(model=desk.name, bundle_sha256=sha256, champion=was_over if over == sha256 else over, now=now)
    return Approval(
        model=desk.name,
        version=desk.version(sha256),
        bundle_sha256=sha256,
        evidence_sha256=evidence.sha256,
        gates_sha256=gates.sha256,
        over=over,
        made=moment_text(now),
        expires=moment_text(expires),
    )


def approved(desk: Desk, sha256: str, *, gates: Gates, now: datetime) -> Signed:
    """The approval of this bundle, signed by the gates' threshold of different approvers, for what is so now.

    Raises:
        ApprovalRefused: there is none, too few have signed it, it has expired, or it is for something else.
    """
    data = read_sealed(approval_path(desk, sha256))
    if data is None:
        found = f"no approval of bundle {sha256[:12]}"
        raise ApprovalRefused("approval", found=found, expected=f"{gates.threshold} signatures", hint=AGAIN)
    try:
        approval = _approval(peek(data, kind=KIND))
        signed = _signed(data, approval, gates)
        wanted = wanted_approval(desk, sha256, gates=gates, now=now, expires=now)
        _check(approval, wanted, now=now, used=desk.state().used)
        if signed.needed:
            raise ApprovalRefused(
                "approval",
                found=f"{len(signed.by)} signatures of different approvers ({', '.join(signed.by) or 'nobody'})",
                expected=f"{gates.threshold} of {', '.join(gates.approvers)}",
                hint="another person signs: fedcredit model approve VERSION --key person.key",
            )
        open_sealed(data, kind=KIND, signers=gates.approvers.values(), threshold=gates.threshold)
    except (SealBroken, ConfigError) as fault:
        raise ApprovalRefused(
            f"approval, {fault.where}", found=fault.found, expected=fault.expected, hint=AGAIN
        ) from None
    return signed


def _check(found: Approval, wanted: Approval, *, now: datetime, used: Collection[str]) -> None:
    meant = {
        "model": "for another model",
        "bundle_sha256": "for another bundle",
        "evidence_sha256": "of evidence that was changed since",
        "gates_sha256": "past gates that were changed since",
        "over": "over another champion",
    }
    for field, words in meant.items():
        mine, now_so = getattr(found, field), getattr(wanted, field)
        if mine != now_so:
            raise ApprovalRefused(
                "approval", found=f"one {words}, {_short(mine)}", expected=f"{field} {_short(now_so)}", hint=AGAIN
            )
    if found.sha256 in used:
        found_words = "one that has made a champion already"
        raise ApprovalRefused("approval", found=found_words, expected="one for this promotion", hint=AGAIN)
    if now >= found.last_moment:
        raise ApprovalRefused(
            "approval", found=f"one that expired on {found.expires}", expected="one that holds now", hint=AGAIN
        )


def _same(data: bytes, wanted: Approval, *, now: datetime, used: Collection[str]) -> Approval | None:
    """The approval in the file, if it is for what is wanted and holds still; else it is to be made anew."""
    try:
        found = _approval(peek(data, kind=KIND))
        _check(found, wanted, now=now, used=used)
    except (SealBroken, ConfigError, ApprovalRefused):
        return None
    return found if found.version == wanted.version else None


def _approval(body: Mapping[str, Any]) -> Approval:
    found = build(Approval, body, where=KIND, complete=True)
    if found.schema != SCHEMA:
        raise ConfigError(KIND, found=f"schema {found.schema}", expected=f"schema {SCHEMA}")
    return found


def _signed(data: bytes, approval: Approval, gates: Gates, *, was_renewed: bool = False) -> Signed:
    held = signers_of(data, kind=KIND, signers=gates.approvers.values())
    by = tuple(name for name, one in gates.approvers.items() if one.fingerprint in held)
    return Signed(approval, data, by, max(0, gates.threshold - len(by)), was_renewed)


def _short(value: object) -> str:
    return "none" if value is None else str(value)[:12]
