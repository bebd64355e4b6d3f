"""The consortium's certificates: for the key that asked, of one role, in time; key files are their owner's."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedcredit.link.authority import (
    Authority,
    CertificateRefused,
    certificate_sha256,
    check_leaf,
    new_key_and_csr,
    read_csr,
)
from fedcredit.trust.keys import KeyFileRefused

NOW = datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority in a folder of its own."""
    return Authority.create(tmp_path / "authority", name="pearl-river")


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """A request as another program might write it, with extensions and a subject that we must not take over."""
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another-bank")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def test_loaded_authority_is_the_created_one_and_its_key_is_its_owner_s(authority: Authority, tmp_path: Path) -> None:
    assert Authority.load(tmp_path / "authority").pem == authority.pem
    assert stat.S_IMODE((tmp_path / "authority" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "authority").stat().st_mode) == 0o700


def test_an_authority_is_never_overwritten(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(KeyFileRefused):
        Authority.create(tmp_path / "authority", name="pearl-river")
    assert Authority.load(tmp_path / "authority").pem == authority.pem
    assert [file.name for file in tmp_path.iterdir()] == ["authority"]


def test_leaf_has_name_role_and_purpose_and_nothing_that_the_request_asked_for(authority: Authority) -> None:
    pem = authority.issue(request(ec.generate_private_key(ec.SECP256R1())), role="operator", name="珠江银行", days=30)
    leaf = x509.load_pem_x509_certificate(pem.encode())
    assert [a.value for a in leaf.subject] == ["珠江银行", "operator"]
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    leaf.verify_directly_issued_by(authority.certificate)
    assert leaf.fingerprint(hashes.SHA256()).hex() == certificate_sha256(pem)


def test_server_s_leaf_names_its_hosts(authority: Authority, tmp_path: Path) -> None:
    csr = new_key_and_csr(tmp_path / "server.key", name="gateway")
    pem = authority.issue(csr, role="server", name="gateway", days=1, hosts=["localhost", "127.0.0.1"])
    names = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_leaf_ends_with_its_authority(tmp_path: Path) -> None:
    short = Authority.create(tmp_path / "short", name="pearl-river", days=10)
    csr = new_key_and_csr(tmp_path / "tls.key", name="bank")
    leaf = x509.load_pem_x509_certificate(short.issue(csr, role="institution", name="bank", days=400).encode())
    assert leaf.not_valid_after_utc == short.certificate.not_valid_after_utc


def test_request_that_its_key_did_not_sign_is_refused(authority: Authority, tmp_path: Path) -> None:
    pem = new_key_and_csr(tmp_path / "tls.key", name="bank")
    csr = x509.load_pem_x509_csr(pem.encode())
    der = bytearray(csr.public_bytes(serialization.Encoding.DER))
    point = csr.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    at = der.index(point)
    der[at : at + len(point)] = other.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    stolen = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(CertificateRefused, match="signature of another key"):
        read_csr(stolen)


def test_requests_of_other_kinds_of_key_and_junk_are_refused(authority: Authority) -> None:
    weak = request(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    for csr in (weak, request(ec.generate_private_key(ec.SECP384R1())), "", "junk", "é", "A" * 100_000, authority.pem):
        with pytest.raises(CertificateRefused):
            authority.issue(csr, role="institution", name="bank", days=1)


@pytest.mark.parametrize("name", ["", "x" * 65, "line\nbreak", "nul\0"])
def test_names_that_no_certificate_can_carry_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CertificateRefused):
        new_key_and_csr(tmp_path / "tls.key", name=name)
    assert not list(tmp_path.iterdir())


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    new_key_and_csr(tmp_path / "tls.key", name="bank")
    before = (tmp_path / "tls.key").read_bytes()
    with pytest.raises(KeyFileRefused):
        new_key_and_csr(tmp_path / "tls.key", name="bank")
    assert (tmp_path / "tls.key").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["tls.key"]


def test_authority_whose_key_others_may_read_is_refused(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "authority" / "ca.key").chmod(0o640)
    with pytest.raises(KeyFileRefused, match="0640"):
        Authority.load(tmp_path / "authority")


def test_leaf_is_checked_for_authority_time_role_name_and_key(authority: Authority, tmp_path: Path) -> None:
    key = tmp_path / "tls.key"
    csr = new_key_and_csr(key, name="bank")
    leaf = authority.issue(csr, role="institution", name="bank", days=30)

    def check(pem: str, *, ca: str = authority.pem, key_path: Path = key, name: str = "bank", days: int = 0) -> None:
        at = NOW + timedelta(days=days)
        check_leaf(pem, authority=ca, key_path=key_path, role="institution", name=name, now=at)

    check(leaf)
    new_key_and_csr(tmp_path / "other.key", name="bank")
    other = Authority.create(tmp_path / "other", name="pearl-river")
    for refused in (
        lambda: check(leaf, days=31),
        lambda: check(leaf, days=-1),
        lambda: check(leaf, name="another-bank"),
        lambda: check(leaf, key_path=tmp_path / "other.key"),
        lambda: check(leaf, ca=other.pem),
        lambda: check(authority.issue(csr, role="operator", name="bank", days=30)),
        lambda: check(leaf + leaf),
    ):
        with pytest.raises(CertificateRefused):
            refused()
