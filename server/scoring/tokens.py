"""A name and a role become a signed token that runs out, and a token becomes the caller that it speaks for.

Tokens are JSON Web Tokens (RFC 7519) signed with Ed25519 (RFC 8037). The service holds the public key only; whoever
issues tokens holds the other. A token may be bound to a certificate (RFC 8705, `cnf`): it then counts only through the
gateway, for the caller who showed that certificate.
"""

from __future__ import annotations

import secrets
import stat
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from fedcredit.errors import ConfigError
from fedcredit.trust.files import write_whole
from fedcredit.trust.words import checked_digest, checked_name
from server.scoring.refusal import ScoringRefused

Role = Literal["data_scientist", "institution", "ops", "auditor"]
KEY_FILE, PUBLIC_FILE, OLD_PUBLIC_FILE, REVOKED_FILE = "token.key", "token.pub", "token.old.pub", "revoked"
ALGORITHM, ISSUER, AUDIENCE = "EdDSA", "fedcredit", "fedcredit-score"
MOST_DAYS, MOST_TOKEN_BYTES, MOST_KEY_BYTES, MOST_REMEMBERED = 366, 2048, 16 * 1024, 4096
CLAIMS = ("iss", "aud", "sub", "role", "jti", "iat", "exp")
ASK = "fedcredit serve token makes one"


@dataclass(frozen=True)
class Caller:
    """Whom a valid token speaks for."""

    name: str
    role: Role
    jti: str
    expires: datetime
    certificate: str | None = None


def new_key(folder: Path) -> Path:
    """A new signing key, mode 0600, and its public half; tokens of the key before it count until they run out."""
    key = Ed25519PrivateKey.generate()
    public = folder / PUBLIC_FILE
    if public.exists():
        write_whole(folder / OLD_PUBLIC_FILE, public.read_bytes(), mode=0o644)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(folder / KEY_FILE, private)
    write_whole(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), mode=0o644)
    return public


def issue(
    folder: Path, *, name: str, role: str, days: float, certificate: str | None = None, now: datetime | None = None
) -> tuple[str, Caller]:
    """A token for `days`, and whom it speaks for.

    Raises:
        ConfigError: there is no key, it is open to others, or name, role or span are none.
    """
    checked_name(name, where="--name")
    if role not in get_args(Role):
        raise ConfigError("--role", found=repr(role[:40]), expected=f"one of {', '.join(get_args(Role))}")
    if not 0 < days <= MOST_DAYS:
        raise ConfigError("--days", found=str(days), expected=f"above 0, up to {MOST_DAYS}")
    if certificate is not None:
        checked_digest(certificate, where="--certificate")
    start = now or datetime.now(UTC)
    caller = Caller(name, role, secrets.token_hex(12), start + timedelta(days=days), certificate)  # type: ignore[arg-type]
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": name,
        "role": role,
        "jti": caller.jti,
        "iat": int(start.timestamp()),
        "exp": int(caller.expires.timestamp()),
    }
    if certificate is not None:
        claims["cnf"] = {"x5t#S256": certificate}
    return jwt.encode(claims, _private(folder / KEY_FILE), algorithm=ALGORITHM), caller


def revoke(folder: Path, jti: str) -> None:
    """From the next second on the token of that number counts no more. Raises ConfigError if it is no such number."""
    if len(jti) != 24 or not set(jti) <= set("0123456789abcdef"):
        raise ConfigError("JTI", found="another form", expected="the 24 digits that `serve token` printed")
    path = folder / REVOKED_FILE
    kept = path.read_text(encoding="ascii") if path.exists() else ""
    write_whole(path, f"{kept}{jti}\n".encode(), mode=0o644)


class Verifier:
    """Tokens become callers; key files and the list of revoked tokens are followed."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._clock = folder, clock
        self._seen: tuple[object, ...] = ()
        self._keys: list[Ed25519PublicKey] = []
        self._revoked: frozenset[str] = frozenset()
        self._remembered = OrderedDict[str, Caller]()
        self.follow()
        if not self._keys:
            hint = "fedcredit serve key makes a pair"
            raise ConfigError(
                "--keys", found=f"no {PUBLIC_FILE}", expected="the key that tokens are signed with", hint=hint
            )

    def follow(self) -> None:
        """Read the files again where they changed; what cannot be read leaves things as they are."""
        paths = [self._folder / name for name in (PUBLIC_FILE, OLD_PUBLIC_FILE, REVOKED_FILE)]
        seen = tuple(_stamp(path) for path in paths)
        if seen == self._seen:
            return
        try:
            keys = [_public(path) for path in paths[:2] if path.exists()]
            revoked = paths[2].read_text(encoding="ascii").split() if paths[2].exists() else []
        except (OSError, ValueError):
            return
        if keys:
            self._keys, self._revoked, self._seen = keys, frozenset(revoked), seen
            self._remembered.clear()

    def caller(self, header: str | None, *, certificate: str | None = None) -> Caller:
        """The caller of an `Authorization` header.

        Raises:
            ScoringRefused: there is no token, it is not ours, has run out, was revoked, or is another certificate's.
        """
        kind, _, token = (header or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _refused("no token")
        caller = self._remembered.get(token) or self._verified(token)
        if caller.expires <= self._clock():
            self._remembered.pop(token, None)
            raise _refused("a token that has run out")
        if caller.certificate is not None and caller.certificate != certificate:
            raise _refused("a token of another certificate", "send it through the gateway, with your own certificate")
        return caller

    def _verified(self, token: str) -> Caller:
        if len(token) > MOST_TOKEN_BYTES:
            raise _refused("a token that is not ours")
        claims = self._claims(token)
        cnf = claims.get("cnf")
        bound = cnf.get("x5t#S256") if isinstance(cnf, dict) else None
        facts = (claims["sub"], claims["role"], claims["jti"])
        is_whole = all(isinstance(one, str) for one in facts) and isinstance(claims["exp"], int)
        if not is_whole or claims["role"] not in get_args(Role) or (cnf is not None and not isinstance(bound, str)):
            raise _refused("a token of another form")
        if claims["jti"] in self._revoked:
            raise _refused("a token that was revoked")
        caller = Caller(*facts, datetime.fromtimestamp(claims["exp"], UTC), bound)
        self._remembered[token] = caller
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return caller

    def _claims(self, token: str) -> dict[str, Any]:
        options: Any = {"require": list(CLAIMS), "verify_exp": False}  # by our clock, also for a remembered token
        for key in self._keys:
            try:
                return jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=options)
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                continue
        raise _refused("a token that is not ours")


def _refused(found: str, hint: str = ASK) -> ScoringRefused:
    return ScoringRefused("token", "Authorization", found=found, expected="Bearer and a valid token", hint=hint)


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(path.name, found="a key that others may read", expected="mode 0600", hint="chmod 600")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        hint = "fedcredit serve key makes one"
        raise ConfigError("--keys", found=f"no {KEY_FILE} that can be read", expected="an Ed25519 key", hint=hint)
    return key


def _public(path: Path) -> Ed25519PublicKey:
    with path.open("rb") as file:
        key = load_pem_public_key(file.read(MOST_KEY_BYTES))
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(path.name)  # noqa: TRY004 - read as any other file that holds no key of ours
    return key


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
