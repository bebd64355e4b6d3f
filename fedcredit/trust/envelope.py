"""A JSON body becomes a file that t of n people have signed, and a file becomes its body once t signatures hold.

The file is UTF-8 JSON: {"schema": 1, "kind", "body": {...}, "signatures": [{"by": fingerprint, "signature": hex}]}.
What is signed is the body in one canonical form (sorted keys, no spaces) under the label "fedcredit/v1/" + kind, so a
statement of one kind is never read as another, and white space in the file means nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.keys import Identity, PublicIdentity, SignatureInvalid

SCHEMA = 1
MAX_FILE_BYTES = 16 * 1024 * 1024  # a manifest of a thousand members is some 5 MB
MAX_SIGNATURES = 64  # each costs half a millisecond to check
MAX_DEPTH = 64  # of lists and groups in each other; Python's own limit would be an error of another kind
LABEL = "fedcredit/v1/"
KIND = re.compile(r"[a-z][a-z-]{0,31}")


class SealBroken(PolicyRefused):
    """A signed file is none, is of another kind, was changed, or has too few signatures of the right people."""

    code = "seal"


@dataclass(frozen=True)
class _Signature:
    by: str
    signature: str


@dataclass(frozen=True)
class _File:
    schema: int
    kind: str
    body: Mapping[str, Any]
    signatures: tuple[_Signature, ...]


def seal(body: Mapping[str, Any], *, kind: str, by: Sequence[Identity]) -> bytes:
    """The bytes of a file with this body and a signature of each in `by`; none at all makes a draft.

    >>> officer = Identity.generate()
    >>> data = seal({"says": "yes"}, kind="policy", by=[officer])
    >>> open_sealed(data, kind="policy", signers=[officer.public], threshold=1)
    {'says': 'yes'}

    Raises:
        SealBroken: the body is not plain JSON, or larger than a file may be.
    """
    data = _written(_File(SCHEMA, _label(kind).removeprefix(LABEL), body, ()))
    for identity in by:
        data = add_signature(data, kind=kind, by=identity)
    return data


def add_signature(data: bytes, *, kind: str, by: Identity) -> bytes:
    """The same file with one more signature; the same bytes where this signature is there and holds."""
    file = _parsed(data, kind=kind)
    label, mine = _label(kind), by.public.fingerprint
    if mine in _holding(file, [by.public]):
        return data
    signature = by.sign(canonical(file.body), context=label.encode()).hex()
    others = tuple(one for one in file.signatures if one.by != mine)
    return _written(_File(SCHEMA, kind, file.body, (*others, _Signature(mine, signature))))


def merge(data: bytes, other: bytes, *, kind: str) -> bytes:
    """One file with the signatures of both. Raises SealBroken if they do not have the same body."""
    mine, theirs = _parsed(data, kind=kind), _parsed(other, kind=kind)
    if canonical(mine.body) != canonical(theirs.body):
        raise SealBroken(kind, found="another body", expected="two copies of one file, signed by different people")
    known = {one.by for one in mine.signatures}
    more = tuple(one for one in theirs.signatures if one.by not in known)
    return _written(_File(SCHEMA, kind, mine.body, mine.signatures + more))


def open_sealed(data: bytes, *, kind: str, signers: Iterable[PublicIdentity], threshold: int) -> dict[str, Any]:
    """The body, if at least `threshold` different `signers` have signed it.

    Signatures of anybody else count nothing: a file in which officers hand over to others has both.

    Raises:
        SealBroken: not such a file, fewer signatures, or one under a signer's name that does not hold.
    """
    if threshold < 1:
        raise SealBroken(kind, found=f"a threshold of {threshold}", expected="at least 1 signature")
    file = _parsed(data, kind=kind)
    held = _holding(file, signers)
    if len(held) < threshold:
        raise SealBroken(
            kind,
            found=f"{len(held)} signatures of those who may sign",
            expected=f"{threshold} of different people",
            hint="get the file again from where it came, or have the others sign it",
        )
    return dict(file.body)


def signers_of(data: bytes, *, kind: str, signers: Iterable[PublicIdentity]) -> set[str]:
    """The fingerprints of those `signers` whose signature is there and holds: who has signed a draft already."""
    return _holding(_parsed(data, kind=kind), signers)


def peek(data: bytes, *, kind: str) -> dict[str, Any]:
    """The body without any verification: to show it, or to learn whose signatures to ask for."""
    return dict(_parsed(data, kind=kind).body)


def with_body(data: bytes, *, kind: str, body: Mapping[str, Any]) -> bytes:
    """The same signatures over another body; they hold only if that is the body which was signed."""
    return _written(_File(SCHEMA, kind, body, _parsed(data, kind=kind).signatures))


def canonical(body: Mapping[str, Any]) -> bytes:
    """The one form of the body that is signed: equal bodies give equal bytes.

    >>> canonical({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as fault:
        raise SealBroken(
            "body", found=f"what is not plain JSON ({type(fault).__name__})", expected="text, numbers, lists and groups"
        ) from None


def _holding(file: _File, signers: Iterable[PublicIdentity]) -> set[str]:
    known = {signer.fingerprint: signer for signer in signers}
    message, label = canonical(file.body), _label(file.kind).encode()
    held = set()
    for one in file.signatures:
        if one.by not in known or one.by in held:
            continue
        try:
            known[one.by].verify(bytes.fromhex(one.signature), message, context=label)
        except (SignatureInvalid, ValueError):
            raise SealBroken(
                file.kind,
                found=f"a signature under the name {one.by[:16]} that does not hold",
                expected="one by that identity over this body",
                hint="the file was changed after it was signed, or damaged on its way",
            ) from None
        held.add(one.by)
    return held


def _parsed(data: bytes, *, kind: str) -> _File:
    _label(kind)
    if len(data) > MAX_FILE_BYTES:
        raise SealBroken(kind, found=f"{len(data)} bytes", expected=f"at most {MAX_FILE_BYTES}")
    try:
        raw = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
        _check_depth(raw)
        file = build(_File, raw, where=kind, complete=True)
    except ConfigError as fault:
        raise SealBroken(fault.where, found=fault.found, expected=fault.expected) from None
    except (ValueError, RecursionError) as fault:
        raise SealBroken(kind, found=f"no signed file ({type(fault).__name__})", expected="signed JSON") from None
    if file.schema != SCHEMA or file.kind != kind:
        found = f"{file.kind[:40]!r} of schema {file.schema}"
        raise SealBroken(kind, found=found, expected=f"{kind!r} of schema {SCHEMA}")
    if len(file.signatures) > MAX_SIGNATURES:
        raise SealBroken(kind, found=f"{len(file.signatures)} signatures", expected=f"at most {MAX_SIGNATURES}")
    canonical(file.body)  # a number that overflows or half a surrogate pair cannot be signed
    return file


def _written(file: _File) -> bytes:
    canonical(file.body)
    document = {
        "schema": file.schema,
        "kind": file.kind,
        "body": file.body,
        "signatures": [{"by": one.by, "signature": one.signature} for one in file.signatures],
    }
    data = json.dumps(document, ensure_ascii=False, sort_keys=True, allow_nan=False, indent=1).encode() + b"\n"
    if len(data) > MAX_FILE_BYTES:
        raise SealBroken(file.kind, found=f"{len(data)} bytes", expected=f"at most {MAX_FILE_BYTES}")
    return data


def _label(kind: str) -> str:
    if not KIND.fullmatch(kind):
        raise ValueError("a kind is a word of small letters")
    return LABEL + kind


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    group = dict(pairs)
    if len(group) < len(pairs):
        raise ValueError("a key that is there twice")
    return group


def _no_constant(_: str) -> NoReturn:
    raise ValueError("a number that is none")


def _check_depth(raw: Any) -> None:
    level = [raw]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for group in level
            for item in (group.values() if isinstance(group, dict) else group if isinstance(group, list) else ())
        ]
        if not level:
            return
    raise ValueError("groups too deep in each other")
