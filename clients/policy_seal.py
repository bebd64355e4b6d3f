"""A policy's digest becomes a signed document, and back if the officer signed it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fedcredit.trust.keys import Identity, PublicIdentity, SignatureInvalid

CONTEXT = b"fedcredit/v1/policy"
KIND = "policy"


def seal_policy(body: Mapping[str, str], *, by: Identity) -> bytes:
    """The body with the officer's signature, as JSON."""
    signature = by.sign(_canonical(body), context=CONTEXT).hex()
    signatures = [{"by": by.public.fingerprint, "signature": signature}]
    said = {"schema": 1, "kind": KIND, "body": dict(body), "signatures": signatures}
    return json.dumps(said, ensure_ascii=False).encode()


def open_policy(data: bytes, *, officer: PublicIdentity) -> Mapping[str, Any]:
    """The body, if the officer signed it. Raises SignatureInvalid otherwise."""
    try:
        match json.loads(data):
            case {"schema": 1, "kind": "policy", "body": dict(body), "signatures": [{"signature": str(signature)}]}:
                officer.verify(bytes.fromhex(signature), _canonical(body), context=CONTEXT)
                return body
    except (ValueError, RecursionError):
        pass
    raise SignatureInvalid("policy", found="no signature of the officer", expected="one that holds")


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
