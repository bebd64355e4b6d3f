"""A request becomes an entry of the manifest, unless its name or one of its keys is somebody else's already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cryptography import x509

from fedcredit.errors import PolicyRefused
from fedcredit.trust.joining import Request, Role, read_request, signed_also_by
from fedcredit.trust.manifest import Manifest, Member, Operator
from fedcredit.trust.words import same_name
from server.consortium.certificates import was_retired
from server.consortium.home import Consortium


class Clash(PolicyRefused):
    """A name or a key of a request belongs to somebody else already."""

    code = "clash"


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


def check_key_is_not_retired(consortium: Consortium, request: Request) -> None:
    """Return if the TLS key was never put out of force. Raises Clash."""
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
