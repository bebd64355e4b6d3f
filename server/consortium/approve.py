"""Requests to join become the next manifest, with a certificate and an answer for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedcredit.link.authority import certificate_sha256
from fedcredit.trust.certificates import certificates_in
from fedcredit.trust.envelope import peek
from fedcredit.trust.joining import JOIN, Join, Request, draft_join
from fedcredit.trust.manifest import Manifest, seal_manifest
from fedcredit.trust.software import installed
from server.consortium.answers import answer_to
from server.consortium.certificates import keep
from server.consortium.clash import check_key_is_not_retired, read_requests, with_requests
from server.consortium.home import ChangeWaits, Consortium
from server.consortium.pending import Answer, Pending

__all__ = ["Approval", "approval", "read_requests"]


@dataclass(frozen=True)
class Approval:
    """What is to be signed for some requests: the change, the manifest that it makes, and whom it lets in."""

    change: Pending
    manifest: Manifest
    requests: tuple[Request, ...]


def approval(
    consortium: Consortium,
    requests: Sequence[Request],
    *,
    now: datetime,
    replaces: bool = False,
    is_rehearsal: bool = False,
) -> Approval:
    """The change that lets these in, or replaces the keys of one that is a member.

    Where the same change waits for signatures, it is that change, after everything in it was found to be what these
    requests ask for and nothing else; so a second officer signs what the first has signed. A rehearsal issues nothing.

    Raises:
        Clash: a name or a key is in use, or was revoked.
        ChangeWaits: what waits for signatures under this name holds something else.
    """
    whom = "operator " * (requests[0].role == "operator") + ", ".join(one.institution for one in requests)
    change = f"{'rotate' if replaces else 'approve'} {whom}"
    waiting = consortium.pending()
    if waiting is not None and waiting.change == change and waiting.manifest:
        return _same(consortium, waiting, requests, replaces=replaces)
    for request in requests:
        check_key_is_not_retired(consortium, request)
    certificates = [_rehearsed(one) if is_rehearsal else _issue(consortium, one, now=now) for one in requests]
    digests = [one if is_rehearsal else keep(consortium.places, one) for one in certificates]
    draft = consortium.next_version(now=now, packages=tuple(installed()))
    manifest = with_requests(draft, requests, digests, replaces=replaces)
    sealed = seal_manifest(manifest, by=[])
    answers = [
        Answer(one.institution, one.role, draft_join(_answer(consortium, one, pem, sealed, manifest)).decode())
        for one, pem in zip(requests, certificates, strict=True)
    ]
    return Approval(Pending(change, sealed.decode(), tuple(answers)), manifest, tuple(requests))


def _same(consortium: Consortium, waiting: Pending, requests: Sequence[Request], *, replaces: bool) -> Approval:
    draft = waiting.draft()
    if draft == consortium.current():  # in force; a crash kept the answers from being written
        return Approval(waiting, draft, tuple(requests))
    # The answers are the officers' words too; each has to be what it would be if it were made now.
    drafts = {(one.name, one.role): one.draft for one in waiting.answers}
    certificates = []
    for request in requests:
        text = drafts.get((request.institution, request.role))
        body = peek(text.encode(), kind=JOIN[request.role]) if text else {}
        certificates.append(_certificate_for(request, str(body.get("certificate", ""))))
    wanted = with_requests(
        consortium.next_version(now=draft.issued, packages=draft.packages),
        requests,
        [certificate_sha256(pem) for pem in certificates],
        replaces=replaces,
    )
    sealed = seal_manifest(draft, by=[])
    fits = replace(wanted, expires=draft.expires) == draft and len(drafts) == len(requests)
    for request, pem in zip(requests, certificates, strict=True):
        expected = draft_join(_answer(consortium, request, pem, sealed, draft))
        kind = JOIN[request.role]
        text = drafts.get((request.institution, request.role), "")
        fits = fits and peek(text.encode(), kind=kind) == peek(expected, kind=kind)
    if not fits:
        raise ChangeWaits(
            "pending.json",
            found="more or other than these requests ask for",
            expected="what this command makes of them",
            hint="look at it with fedcredit consortium verify; start anew with fedcredit consortium sign --drop",
        )
    return Approval(waiting, draft, tuple(requests))


def _certificate_for(request: Request, pem: str) -> str:
    leaf = certificates_in(pem, where="pending.json")[0]
    csr = x509.load_pem_x509_csr(request.csr.encode())
    keys = [
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for key in (leaf.public_key(), csr.public_key())
    ]
    if keys[0] != keys[1]:
        raise ChangeWaits(
            request.institution,
            found="a certificate for another key than this request's",
            expected="the request that was approved first",
            hint="if it was made anew: fedcredit consortium sign --drop, and approve again",
        )
    return pem


def _issue(consortium: Consortium, request: Request, *, now: datetime) -> str:
    days = consortium.settings.certificate_days
    return consortium.authority().issue(request.csr, role=request.role, name=request.institution, days=days, now=now)


def _rehearsed(request: Request) -> str:
    return hashlib.sha256(request.csr.encode()).hexdigest()


def _answer(consortium: Consortium, request: Request, pem: str, sealed: bytes, manifest: Manifest) -> Join:
    return answer_to(request, certificate=pem, sealed=sealed, manifest=manifest, settings=consortium.settings)
