"""A name and a role become a signed token that runs out.

Tokens are JSON Web Tokens (RFC 7519) signed with Ed25519 (RFC 8037). The service holds the public key only; whoever
issues tokens holds the other. A token may be bound to a certificate (RFC 8705, `cnf`): it then counts only through the
gateway, for the caller who showed that certificate.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from fedcredit.errors import ConfigError
from fedcredit.trust.files import write_whole
from fedcredit.trust.words import checked_digest, checked_name

Role = Literal["data_scientist", "institution", "ops", "auditor"]
KEY_FILE, PUBLIC_FILE, OLD_PUBLIC_FILE, REVOKED_FILE = "token.key", "token.pub", "token.old.pub", "revoked"
ALGORITHM, ISSUER, AUDIENCE = "EdDSA", "fedcredit", "fedcredit-score"
MOST_DAYS = 366
RENEWED = b"renewed: "  # in the old key's file, above the key (RFC 7468, 5.2): seconds since 1970


@dataclass(frozen=True)
class Caller:
    """Whom a valid token speaks for."""

    name: str
    role: Role
    jti: str
    expires: datetime
    certificate: str | None = None


def new_key(folder: Path, *, is_old_dropped: bool = False, now: datetime | None = None) -> Path:
    """A new signing key, mode 0600, and its public half.

    Tokens that the key before it signed until now count until they run out; none does where that key is dropped.
    """
    key = Ed25519PrivateKey.generate()
    public = folder / PUBLIC_FILE
    if public.exists() and not is_old_dropped:
        renewed = int((now or datetime.now(UTC)).timestamp())
        write_whole(folder / OLD_PUBLIC_FILE, b"%b%d\n%b" % (RENEWED, renewed, public.read_bytes()), mode=0o644)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(folder / KEY_FILE, private)
    write_whole(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), mode=0o644)
    if is_old_dropped:
        drop_old(folder)
    return public


def drop_old(folder: Path) -> None:
    """No token of the key before counts any more; running services follow within a second."""
    (folder / OLD_PUBLIC_FILE).unlink(missing_ok=True)
    _sync(folder)


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
        raise ConfigError("NUMBER", found="another form", expected="the 24 digits that `serve token` printed")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Added at the end in one write: of two who revoke at once, neither undoes the other. A line cut short ends first.
    handle = os.open(folder / REVOKED_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(f"\n{jti}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    _sync(folder)


def _sync(folder: Path) -> None:
    """Make a new or a removed name durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
