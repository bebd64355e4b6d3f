"""Orders are obeyed from an active operator only, as they were signed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.link.authority import Authority, certificate_sha256, new_key_and_csr
from fedcredit.trust.manifest import Manifest
from server.order_signature import CERTIFICATE, SIGNATURE, OrderRefused, operator_of, signed
from tests.server.test_orders import ORDER
from tests.trust.consortium import manifest

CONFIG = ORDER.as_config()


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """An operator's folder."""
    csr = new_key_and_csr(tmp_path / "tls.key", name="desk")
    pem = Authority.create(tmp_path / "authority", name="c").issue(csr, role="operator", name="desk", days=1)
    (tmp_path / "tls.crt").write_text(pem)
    return tmp_path


def knowing(desk: Path, *, status: str = "active") -> Manifest:
    (one, *_) = manifest().operators
    digest = certificate_sha256((desk / "tls.crt").read_text())
    return replace(manifest(), operators=(replace(one, name="desk", certificate=digest, status=status),))


def signed_by(desk: Path) -> dict[str, str]:
    return signed(CONFIG, key=desk / "tls.key", certificate=desk / "tls.crt")


def test_order_of_an_active_operator_is_theirs(desk: Path) -> None:
    assert operator_of(signed_by(desk), knowing(desk)) == "desk"


def test_order_without_a_signature_is_refused(desk: Path) -> None:
    with pytest.raises(OrderRefused, match="no signature"):
        operator_of(CONFIG, knowing(desk))


def test_order_of_a_revoked_operator_is_refused(desk: Path) -> None:
    with pytest.raises(OrderRefused, match="somebody else"):
        operator_of(signed_by(desk), knowing(desk, status="revoked"))


def test_order_of_an_operator_whom_the_manifest_does_not_name_is_refused(desk: Path) -> None:
    with pytest.raises(OrderRefused, match="somebody else"):
        operator_of(signed_by(desk), manifest())


@pytest.mark.parametrize(
    "change", [{"order": CONFIG["order"] + " "}, {SIGNATURE: "AAAA"}, {SIGNATURE: "%"}, {CERTIFICATE: "PEM"}]
)
def test_order_that_was_changed_after_it_was_signed_is_refused(desk: Path, change: dict[str, str]) -> None:
    with pytest.raises(OrderRefused):
        operator_of({**signed_by(desk), **change}, knowing(desk))
