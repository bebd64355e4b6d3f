"""An order becomes an operator's: signed with the key of their certificate, and obeyed only by who is in the manifest.

Whoever reaches the SuperLink's port on the platform's machine could start a run there; no gateway stands in between.
The coordinator obeys an order only if an active operator has signed it, and so knows who started what.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fedcredit.errors import PolicyRefused
from fedcredit.link.authority import CertificateRefused, certificate_sha256, read_certificate, read_key
from fedcredit.trust.keys import transcript
from fedcredit.trust.manifest import Manifest

LABEL = b"fedcredit/v1/order"
CERTIFICATE, SIGNATURE = "order-certificate", "order-signature"
MAX_SIGNATURE = 256  # letters; of P-256 it has 96


class OrderRefused(PolicyRefused):
    """An order to train is not of an active operator's hand."""

    code = "order"


def signed(config: Mapping[str, str], *, key: Path, certificate: Path) -> dict[str, str]:
    """The settings of a Flower run, with the operator's certificate and signature over the order in them."""
    signature = read_key(key).sign(_said(config), ec.ECDSA(hashes.SHA256()))
    return {
        **config,
        CERTIFICATE: certificate.read_text(encoding="ascii"),
        SIGNATURE: base64.b64encode(signature).decode("ascii"),
    }


def operator_of(config: Mapping[str, Any], manifest: Manifest) -> str:
    """The name of the active operator who signed the order.

    Raises:
        OrderRefused: nobody did, or somebody who is none.
    """
    pem, text = config.get(CERTIFICATE), config.get(SIGNATURE)
    if not isinstance(pem, str) or not isinstance(text, str) or not text or len(text) > MAX_SIGNATURE:
        hint = "studies are started by fedcredit study run on an operator's machine"
        raise OrderRefused("order", found="no signature", expected="an operator's", hint=hint)
    try:
        digest = certificate_sha256(pem)
        key = read_certificate(pem).public_key()
        name = next((one.name for one in manifest.active_operators if one.certificate == digest), None)
        if name is None or not isinstance(key, ec.EllipticCurvePublicKey):
            raise OrderRefused("order", found="a signature of somebody else", expected="an active operator's")
        key.verify(base64.b64decode(text, validate=True), _said(config), ec.ECDSA(hashes.SHA256()))
    except (CertificateRefused, InvalidSignature, ValueError):
        raise OrderRefused("order", found="a signature that does not verify", expected="an operator's") from None
    return name


def _said(config: Mapping[str, Any]) -> bytes:
    return transcript(LABEL, str(config.get("order", "")).encode())
