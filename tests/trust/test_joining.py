"""Requests and answers: both keys held by whoever asks; everything in an answer hangs on one fingerprint."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.trust.envelope import SealBroken, add_signature, peek, seal
from fedcredit.trust.fingerprint import FingerprintRefused
from fedcredit.trust.joining import (
    JoinRefused,
    RequestRefused,
    draft_join,
    finish_join,
    read_join,
    read_request,
    signed_also_by,
    write_join,
    write_request,
)
from fedcredit.trust.manifest import ManifestRefused, seal_manifest
from tests.trust.consortium import (
    NOW,
    Issuer,
    csr_pem,
    flower_key,
    identities,
    join,
    manifest,
    officer_keys,
    request,
    sealed,
)


def harbour() -> Any:
    return identities()["harbour"]


def written(**change: Any) -> bytes:
    """The request with some fields of its body changed before the institution signed it."""
    body = peek(write_request(request(), by=harbour()), kind="request")
    return seal(body | change, kind="request", by=[harbour()])


def test_request_says_the_same_after_it_was_written_and_read() -> None:
    assert read_request(write_request(request(), by=harbour())) == request()


def test_comment_of_a_flower_key_is_left_out() -> None:
    said = replace(request(), flower_key=request().flower_key + " somebody@machine")
    assert read_request(write_request(said, by=harbour())) == request()


def test_request_with_anothers_identity_is_refused() -> None:
    """Whoever presents an identity has to sign with it."""
    stolen = replace(request(), identity=identities()["other"].public)
    with pytest.raises(SealBroken, match="0 signatures"):
        read_request(write_request(stolen, by=harbour()))


def test_request_that_was_changed_on_its_way_is_refused() -> None:
    document = json.loads(write_request(request(), by=harbour()))
    document["body"]["csr"] = csr_pem("harbour")
    with pytest.raises(SealBroken, match="does not hold"):
        read_request(json.dumps(document).encode())


def test_certificate_request_whose_signature_is_wrong_is_refused() -> None:
    der = bytearray(x509.load_pem_x509_csr(request().csr.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    pem = "\n".join(
        ["-----BEGIN CERTIFICATE REQUEST-----", base64.b64encode(der).decode(), "-----END CERTIFICATE REQUEST-----", ""]
    )
    wrapped = x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.PEM).decode()
    with pytest.raises(RequestRefused, match="does not hold"):
        read_request(written(csr=wrapped))


def test_certificate_request_for_another_name_or_of_another_key_is_refused() -> None:
    for csr in (
        csr_pem("lake"),
        csr_pem("harbour", ec.generate_private_key(ec.SECP384R1())),
        "no PEM",
        "",
        request().csr * 2,
        request().csr + "more",
    ):
        with pytest.raises(RequestRefused, match="csr"):
            read_request(written(csr=csr))


def test_request_with_unknown_missing_or_impossible_fields_is_refused() -> None:
    environment = asdict(request().environment) | {"clock_utc": "2027-01-15T08:30:00Z"}
    for change in (
        {"note": ""},
        {"institution": "../harbour"},
        {"institution": "har\nbour"},
        {"identity": "00"},
        {"flower_key": "ssh-ed25519 AAAA"},
        {"flower_key": ""},
        {"flower_key": request().flower_key + " comment"},
        {"environment": environment | {"more": 1}},
        {"environment": environment | {"python": "x" * 300}},
        {"environment": environment | {"platform": "\x1b[2J"}},
        {"environment": environment | {"clock_utc": "yesterday"}},
        {"environment": environment | {"cpus": "2"}},
    ):
        with pytest.raises((RequestRefused, SealBroken)):
            read_request(written(**change))
    with pytest.raises(RequestRefused, match="at most"):
        read_request(written(csr="x" * 300_000))


def test_request_of_an_operator_is_none_of_an_institution() -> None:
    desk = replace(request(), role="operator", flower_key="")
    data = write_request(desk, by=harbour())
    assert read_request(data, role="operator") == desk
    with pytest.raises(SealBroken):
        read_request(data)


def test_request_shows_who_else_signed_it() -> None:
    other = identities()["other"]
    alone, both = write_request(request(), by=harbour()), write_request(request(), by=harbour(), also=[other])
    assert signed_also_by(alone, [other.public]) == set()
    assert signed_also_by(both, [other.public]) == {other.public.fingerprint}


def answered(by: tuple[str, ...] = ("ann", "bob"), *, fingerprint: str | None = None, **other: Any) -> Any:
    data = write_join(join(**other), by=officer_keys(*by))
    return read_join(data, fingerprint=fingerprint or manifest().root_fingerprint, now=NOW)


def test_answer_says_the_same_after_it_was_written_and_read() -> None:
    said = answered(fingerprint=manifest().root_fingerprint[:16])
    assert said == join()
    assert said.members() == manifest()


def test_answer_is_refused_under_another_or_a_short_fingerprint() -> None:
    for fingerprint in ("0" * 64, manifest().root_fingerprint[:15]):
        with pytest.raises(FingerprintRefused):
            answered(fingerprint=fingerprint)


def test_answer_with_too_few_officers_is_refused() -> None:
    for by in (("ann",), ("ann", "other")):
        with pytest.raises(SealBroken, match="2 of different people"):
            answered(by)


def test_answer_whose_manifest_has_too_few_officers_is_refused() -> None:
    with pytest.raises(SealBroken, match="2 of different people"):
        answered(manifest=sealed(by=("ann",)))


def test_answer_whose_parts_do_not_fit_together_is_refused() -> None:
    (member,) = manifest().members
    for change in (
        {"consortium": "delta"},
        {"gateway": "elsewhere.example:443"},
        {"authority": Issuer.new().pem},
        {"institution": "lake"},
        {"certificate": Issuer.new().issue(request().csr, name="harbour")},
        {"certificate": "no PEM"},
        {"manifest": sealed(members=())},
        {"manifest": sealed(members=(replace(member, status="revoked"),))},
        {"manifest": sealed(members=(replace(member, certificate="c" * 64),))},
    ):
        with pytest.raises(JoinRefused):
            answered(**change)


def test_expired_answer_and_expired_manifest_are_refused() -> None:
    data = write_join(join(), by=officer_keys())
    with pytest.raises(JoinRefused, match="expired"):
        read_join(data, fingerprint=manifest().root_fingerprint, now=NOW + timedelta(days=14))
    with pytest.raises(ManifestRefused, match="expired"):
        read_join(data, fingerprint=manifest().root_fingerprint, now=NOW + timedelta(days=200))


def test_answer_that_is_no_answer_is_refused() -> None:
    body = peek(write_join(join(), by=officer_keys()), kind="join")
    for change in ({"note": 1}, {"manifest": "?"}, {"manifest": ""}, {"policy": "x" * 70_000}, {"expires": "soon"}):
        data = seal(body | change, kind="join", by=officer_keys())
        with pytest.raises((JoinRefused, SealBroken)):
            read_join(data, fingerprint=manifest().root_fingerprint, now=NOW)


def test_answer_with_another_manifest_in_its_place_is_refused() -> None:
    """Also with one that the officers have signed: the answer names the content of its own."""
    other = sealed(2)
    moved = finish_join(write_join(join(), by=officer_keys()), manifest=other)
    with pytest.raises(SealBroken, match="does not hold"):
        read_join(moved, fingerprint=manifest().root_fingerprint, now=NOW)


def test_officers_sign_an_answer_while_its_manifest_still_collects_signatures() -> None:
    ann, bob = officer_keys("ann", "bob")
    unsigned = seal_manifest(manifest(), by=[])
    draft = add_signature(draft_join(join(manifest=unsigned)), kind="join", by=ann)
    first = add_signature(unsigned, kind="manifest", by=ann)
    draft, both = add_signature(draft, kind="join", by=bob), add_signature(first, kind="manifest", by=bob)
    said = read_join(finish_join(draft, manifest=both), fingerprint=manifest().root_fingerprint, now=NOW)
    assert said.members() == manifest()


def test_flower_key_of_another_curve_is_refused() -> None:
    assert flower_key().startswith("ecdsa-sha2-nistp384 ")
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    from cryptography.hazmat.primitives.serialization import PublicFormat

    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with pytest.raises(RequestRefused, match="nistp384"):
        read_request(written(flower_key=line))
