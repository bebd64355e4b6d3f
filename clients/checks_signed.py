"""What consortium and officer gave a node becomes check lines: certificate, manifest, versions, policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients.checkup import Line, Subject
from clients.policy import Policy
from clients.policy_file import UNSIGNED, read_officer, verified_policy
from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.link.authority import CertificateRefused, certificate_sha256, check_leaf, read_certificate
from fedcredit.trust.certificates import certificates_in
from fedcredit.trust.manifest import Manifest, ManifestFile
from fedcredit.trust.roster import read_roster
from fedcredit.trust.software import installed

DUE = timedelta(days=30)  # from here on something that ends is a failed line: getting it anew takes people
AGAIN = "fedcredit node request, send the file, and join with the answer; the keys stay"
NEWEST = "ask the platform for the newest; a node that runs fetches it by itself"


def check_certificate(subject: Subject) -> Iterator[Line]:
    """The certificate of the link is the consortium's, of our key, listed, and holds for another month."""
    home, manifest = subject.home, manifest_here(subject)
    name = _institution(subject)
    pem = _text(subject, home.tls_certificate.name)
    authorities = [one.public_bytes(Encoding.PEM).decode() for one in _authorities(manifest)]
    for place, authority in enumerate(authorities, start=1):
        try:
            check_leaf(pem, authority=authority, key_path=home.tls_key, role="institution", name=name, now=subject.now)
            break
        except CertificateRefused as refused:  # while one authority takes over from another there are two
            if place == len(authorities):
                raise CertificateRefused(
                    refused.where, found=refused.found, expected=refused.expected, hint=AGAIN
                ) from None
    listed = manifest.member(name)
    if listed is None or listed.certificate != certificate_sha256(pem):
        remedy = "ask the platform whether you were revoked; if not, join with its newest answer"
        yield Line("certificate", False, "not in the manifest as an active member", remedy)
        return
    left = read_certificate(pem).not_valid_after_utc - subject.now
    yield Line("certificate", left > DUE, f"{left.days} days left", AGAIN)


def check_manifest(subject: Subject) -> Iterator[Line]:
    """The manifest is signed, no older than any that was seen, holds for a while, and the roster agrees with it."""
    manifest = manifest_here(subject)
    left = manifest.expires - subject.now
    members = {one.name: one.identity for one in manifest.active_members}
    said = f"version {manifest.version} of {manifest.consortium}, {len(members)} institutions, {left.days} days left"
    yield Line("manifest", left > timedelta(days=1), said, NEWEST)
    if read_roster(subject.home.roster) != members:
        yield Line(
            "roster", False, "other identities than the manifest lists", "fedcredit node join, or start the node"
        )


def check_versions(subject: Subject) -> Iterator[Line]:
    """What is installed is what the consortium runs: one of the builds that it names, where it names several."""
    named = manifest_here(subject).packages
    said = []
    for name in dict.fromkeys(one.name for one in named):
        builds = [one for one in named if one.name == name]
        here = installed([name])
        if here and (here[0].version, here[0].sha256) in {(one.version, one.sha256) for one in builds}:
            said.append(f"{name} {here[0].version}")
            continue
        wanted = " or ".join(one.version for one in builds)
        if here and here[0].version in {one.version for one in builds}:
            found = f"{name} {here[0].version} of another build (sha256 of its RECORD {here[0].sha256[:16]}...)"
            remedy = f"install the wheel that came from the consortium, or have its officers name this build of {name}"
        else:
            found = f"{name} {here[0].version if here else 'not installed'}, the consortium runs {wanted}"
            remedy = f"pip install '{name}=={builds[-1].version}'"
        if builds[-1].wheel:
            remedy = f"pip install {builds[-1].wheel}, whose sha256 is {builds[-1].wheel_sha256}"
        yield Line("versions", False, found, remedy)
    if said or not named:
        yield Line("versions", True, ", ".join(said) or "the manifest names none")


def check_policy(subject: Subject) -> Iterator[Line]:
    """The policy is as its officer signed it, of this institution, and neither ended nor stopped."""
    policy = policy_here(subject)
    if policy.institution != _institution(subject):
        raise PolicyRefused("policy", found="one of another institution", expected="this one's", hint=UNSIGNED)
    left = policy.expires - subject.now.date()
    if policy.stopped:
        yield Line("policy", False, "stopped by its kill switch", "fedcredit node policy resume, by the officer")
    elif left.days < 0:
        yield Line("policy", False, f"ended on {policy.expires}", f"set another day under expires; {UNSIGNED}")
    else:
        yield Line("policy", True, f"signed by the officer, until {policy.expires}")


def policy_here(subject: Subject) -> Policy:
    """The policy, as its officer signed it. Raises AskRefused."""
    home = subject.home
    return verified_policy(home.policy, officer=read_officer(home.officer_public))


def manifest_here(subject: Subject) -> Manifest:
    """The manifest that the node keeps, verified. Raises ManifestRefused or SealBroken."""
    return ManifestFile(subject.home.manifest).read(now=subject.now)


def _institution(subject: Subject) -> str:
    if subject.facts is None:
        raise ConfigError("node.yaml", found="no institution", expected="its name", hint="mend node.yaml first")
    return subject.facts.institution


def _text(subject: Subject, name: str) -> str:
    try:
        return (subject.home.folder / name).read_text(encoding="ascii")
    except (OSError, ValueError):
        raise ConfigError(name, found="no readable file", expected="a certificate in PEM", hint=AGAIN) from None


def _authorities(manifest: Manifest) -> list[x509.Certificate]:
    return certificates_in(manifest.authority, where="authority", most=2)
