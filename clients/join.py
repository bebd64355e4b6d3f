"""A .fcjoin becomes a node's certificates, member list, policy, facts and unit: everything verified, then written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clients.audit_log import AuditLog
from clients.facts import write_facts
from clients.home import NodeHome
from clients.policy import Policy
from clients.policy_file import parse_policy, sign_policy, signature_path
from clients.request import flower_public
from clients.unit import unit_text
from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.link.authority import certificate_sha256, read_certificate, read_key
from fedcredit.trust.files import write_whole
from fedcredit.trust.joining import Join, JoinRefused, read_join, read_request
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, ManifestFile
from fedcredit.trust.roster import write_roster

MAX_JOIN_BYTES = 32 * 1024 * 1024  # a manifest in base64, of a few thousand members


@dataclass(frozen=True)
class Offer:
    """What a consortium offers to this very node, verified; nothing of it is written yet.

    `is_kept` says that the node has a policy of its own, which stays.
    """

    join: Join
    manifest: Manifest
    policy: Policy
    data: bytes
    is_kept: bool


def verify_offer(data: bytes, *, home: NodeHome, fingerprint: str, now: datetime) -> Offer:
    """The offer in a .fcjoin, if it is this node's and hangs on the fingerprint that was heard.

    Raises:
        FingerprintRefused, SealBroken, ManifestRefused, JoinRefused: see `read_join`.
        JoinRefused: it is for another institution, or for other keys than those in the folder.
        PolicyRefused: the draft of the policy is none of this institution's.
    """
    if not home.request.exists():
        hint = "fedcredit node request INSTITUTION comes first, on this machine"
        raise ConfigError(str(home.folder), found="no request", expected="the folder that asked", hint=hint)
    asked = read_request(home.request.read_bytes())
    join = read_join(data, fingerprint=fingerprint, now=now)
    if join.institution != asked.institution:
        raise JoinRefused("join", found=f"one for {join.institution}", expected=f"one for {asked.institution}")
    manifest = join.members()
    _check_keys(join, manifest, home=home)
    try:
        policy = parse_policy(join.policy, where="policy of the join file")
    except ConfigError as fault:
        raise PolicyRefused(fault.where, found=fault.found, expected=fault.expected) from None
    if policy.institution != join.institution:
        raise PolicyRefused("policy", found="one of another institution", expected=join.institution)
    return Offer(join, manifest, policy, data, is_kept=home.policy.exists())


def accept_offer(offer: Offer, *, home: NodeHome, fingerprint: str, now: datetime) -> list[str]:
    """Write what the node needs and sign its policy; the names of the files that are there now.

    The manifest is first: one that is older than what the node has seen stops everything. A policy and facts that are
    there are the institution's own and stay.

    Raises:
        ManifestRefused: the manifest is older than one that the node has seen.
        KeyFileRefused: the policy has to be signed and the officer's key is not there.
    """
    join, officer = offer.join, None
    if not offer.is_kept:
        officer = Identity.load(home.officer)
    ManifestFile(home.manifest).pin(join.manifest, fingerprint=fingerprint, now=now)
    write_whole(home.authority, join.authority.encode())
    write_whole(home.tls_certificate, join.certificate.encode())
    write_members(offer.manifest, home=home)
    write_facts(home, institution=join.institution, server_name=join.server_name)
    if officer is not None:
        write_whole(home.policy, join.policy.encode())
        sign_policy(home.policy, officer=officer, log=AuditLog(home.audit_log, Identity.load(home.identity)))
    unit = unit_text(home.folder, institution=join.institution, name=home.unit.name)
    write_whole(home.unit, unit.encode(), mode=0o644)
    there = (
        home.tls_certificate, home.authority, home.manifest, home.roster, home.facts, home.policy,
        signature_path(home.policy), home.unit,
    )  # fmt: skip
    return [path.name for path in there]


def write_members(manifest: Manifest, *, home: NodeHome) -> None:
    """The roster of the active members: whose signatures count in a masked sum."""
    write_roster(home.roster, {one.name: one.identity for one in manifest.active_members})


def _check_keys(join: Join, manifest: Manifest, *, home: NodeHome) -> None:
    """What the consortium lists are the public halves of the keys that are here."""
    listed = manifest.member(join.institution)
    if listed is None:
        raise JoinRefused("manifest", found="no such member", expected=join.institution)
    certificate = read_certificate(join.certificate)
    for key, is_mine in (
        (home.identity, listed.identity == Identity.load(home.identity).public),
        (home.flower, listed.flower_key == flower_public(home)),
        (home.tls_key, certificate.public_key() == read_key(home.tls_key).public_key()),
        (home.tls_certificate, listed.certificate == certificate_sha256(join.certificate)),
    ):
        if not is_mine:
            hint = "it answers an older request: send the newest .fcreq of this folder"
            raise JoinRefused(key.name, found="another than the consortium lists", expected="the one here", hint=hint)
