"""Requests to join become the next manifest, with a certificate and an answer for each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from string import Template

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedcredit.errors import PolicyRefused
from fedcredit.link.authority import certificate_sha256
from fedcredit.trust.envelope import peek
from fedcredit.trust.joining import JOIN, Join, Request, Role, draft_join, read_request, signed_also_by
from fedcredit.trust.manifest import Manifest, Member, Operator, seal_manifest
from fedcredit.trust.software import installed
from fedcredit.trust.words import moment_of, same_name
from server.consortium.certificates import keep, was_retired
from server.consortium.home import ChangeWaits, Consortium
from server.consortium.pending import Answer, Pending

POLICY_DAYS = 365


class Clash(PolicyRefused):
    """A name or a key of a request belongs to somebody else already."""

    code = "clash"


@dataclass(frozen=True)
class Approval:
    """What is to be signed for some requests: the change, the manifest that it makes, and whom it lets in."""

    change: Pending
    manifest: Manifest
    requests: tuple[Request, ...]


def read_requests(data: Sequence[bytes], *, role: Role) -> list[Request]:
    """The requests, each checked, no name and no key twice. Raises SealBroken, RequestRefused or Clash."""
    requests = [read_request(one, role=role) for one in data]
    for what, values in (
        ("names", [same_name(one.institution) for one in requests]),
        ("identities", [one.identity.fingerprint for one in requests]),
        ("Flower keys", [one.flower_key for one in requests if one.flower_key]),
    ):
        if len(set(values)) < len(values):
            raise Clash("requests", found=f"two with the same {what}", expected="each once")
    return requests


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
    change = f"{'rotate' if replaces else 'approve'} {', '.join(one.institution for one in requests)}"
    waiting = consortium.pending()
    if waiting is not None and waiting.change == change and waiting.manifest:
        return _same(consortium, waiting, requests, replaces=replaces)
    for request in requests:
        _check_key_is_not_retired(consortium, request)
    certificates = [_rehearsed(one) if is_rehearsal else _issue(consortium, one, now=now) for one in requests]
    digests = [one if is_rehearsal else keep(consortium.places, one) for one in certificates]
    draft = consortium.next_version(now=now, packages=tuple(installed()))
    manifest = with_requests(draft, requests, digests, replaces=replaces)
    sealed = seal_manifest(manifest, by=[])
    answers = [
        Answer(one.institution, one.role, draft_join(_join(consortium, one, pem, sealed, manifest)).decode())
        for one, pem in zip(requests, certificates, strict=True)
    ]
    return Approval(Pending(change, sealed.decode(), tuple(answers)), manifest, tuple(requests))


def with_requests(
    manifest: Manifest, requests: Sequence[Request], certificates: Sequence[str], *, replaces: bool
) -> Manifest:
    """The manifest with these members or operators. Raises Clash, and names with whom."""
    for request, certificate in zip(requests, certificates, strict=True):
        _check_clash(manifest, request, replaces=replaces)
        if request.role == "operator":
            new = Operator(request.institution, certificate, "active", manifest.issued)
            manifest = replace(manifest, operators=(*_without_operator(manifest, request), new))
        else:
            member = Member(
                request.institution, request.identity, request.flower_key, certificate, "active", manifest.issued
            )
            manifest = replace(manifest, members=(*_without_member(manifest, request), member))
    return manifest


def check_replaces(data: bytes, request: Request, manifest: Manifest, *, is_key_lost: bool) -> None:
    """Return if who asks to replace a member's keys is that member: by the old identity, or by an officer's word.

    Raises:
        Clash: there is no such member, or the old identity has not signed.
    """
    if request.role == "operator":
        if manifest.operator(request.institution) is None:
            raise Clash("operator", found=f"no active {request.institution}", expected="one", hint="operator approve")
        return
    old = manifest.member(request.institution)
    if old is None:
        raise Clash("member", found=f"no active {request.institution}", expected="one", hint="use approve")
    if is_key_lost or old.identity == request.identity or signed_also_by(data, [old.identity]):
        return
    raise Clash(
        request.institution,
        found="a new identity that the old one has not signed",
        expected="a request that both have signed",
        hint="if the old key is lost or stolen, telephone them, compare the fingerprint, and add --lost-key",
    )


def policy_draft(institution: str, *, until: date) -> str:
    """The policy that an institution starts from, with its name and a last day."""
    text = (files("server") / "deploy" / "policy-template.yaml").read_text(encoding="utf-8")
    return Template(text).substitute(institution=json.dumps(institution, ensure_ascii=False), expires=until.isoformat())


def answer_lines(change: Pending) -> list[str]:
    """One line for each answer that is signed with the change: where it leads, and whether its policy is the usual."""
    lines = []
    for one in change.answers:
        body = peek(one.draft.encode(), kind=JOIN[one.role])
        join = {key: str(body.get(key, "")) for key in ("gateway", "server_name", "policy", "issued")}
        usual = ""
        if one.role == "institution":
            until = moment_of(join["issued"], where="issued") + timedelta(days=POLICY_DAYS)
            is_usual = join["policy"] == policy_draft(one.name, until=until.date())
            usual = ", the usual draft of a policy" if is_usual else ", A POLICY THAT IS NOT THE USUAL DRAFT"
        lines.append(f"answer to {one.name}: {join['gateway']} as {join['server_name']}{usual}")
    return lines


def _check_clash(manifest: Manifest, request: Request, *, replaces: bool) -> None:
    name, mine = request.institution, same_name(request.institution)
    named = manifest.active_members if request.role == "institution" else manifest.active_operators
    for one in named:
        if same_name(one.name) == mine and not (replaces and one.name == name):
            hint = "to replace its keys: fedcredit consortium rotate member" if request.role == "institution" else ""
            raise Clash("name", found=f"{name}, as {one.name} is called already", expected="a new name", hint=hint)
    if request.role == "operator":
        return
    for member in manifest.members:
        if replaces and member.name == name and member.identity == request.identity and member.status == "active":
            continue
        for what, same in (
            ("identity", member.identity == request.identity),
            ("Flower key", member.flower_key == request.flower_key),
        ):
            if same:
                found = f"the {what} of {member.name} ({member.status})"
                hint = "keys are made anew by fedcredit node request, and are never shared or taken up again"
                raise Clash(name, found=found, expected="keys of its own", hint=hint)


def _check_key_is_not_retired(consortium: Consortium, request: Request) -> None:
    current, name = consortium.current(), request.institution
    member = current.member(name) if request.role == "institution" else current.operator(name)
    key = x509.load_pem_x509_csr(request.csr.encode()).public_key()
    if was_retired(consortium.places, key, held=member.certificate if member else None):
        raise Clash(
            name,
            found="a TLS key that was replaced or revoked",
            expected="a new one",
            hint="is this an old copy of a request? ask for a new one, made with a new tls.key",
        )


def _without_member(manifest: Manifest, request: Request) -> list[Member]:
    """The members before the new entry: keys that it renews go, keys that it replaces stay as revoked."""
    kept = []
    for one in manifest.members:
        if one.name != request.institution or one.status == "revoked":
            kept.append(one)
        elif one.identity != request.identity:
            kept.append(replace(one, status="revoked", since=manifest.issued))
    return kept


def _without_operator(manifest: Manifest, request: Request) -> list[Operator]:
    return [
        replace(one, status="revoked", since=manifest.issued)
        if one.name == request.institution and one.status == "active"
        else one
        for one in manifest.operators
    ]


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
        expected = draft_join(_join(consortium, request, pem, sealed, draft))
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
    leaf, csr = x509.load_pem_x509_certificate(pem.encode()), x509.load_pem_x509_csr(request.csr.encode())
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


def _join(consortium: Consortium, request: Request, pem: str, sealed: bytes, manifest: Manifest) -> Join:
    until = (manifest.issued + timedelta(days=POLICY_DAYS)).date()
    return Join(
        consortium=manifest.consortium,
        institution=request.institution,
        certificate=pem,
        authority=manifest.authority,
        gateway=manifest.gateway,
        server_name=consortium.settings.server_name,
        manifest=sealed,
        policy=policy_draft(request.institution, until=until) if request.role == "institution" else "",
        software=manifest.packages,
        issued=manifest.issued,
        expires=manifest.issued + timedelta(days=consortium.settings.join_days),
        role=request.role,
    )
