"""A token becomes the caller that it speaks for; key files and the list of revoked tokens are followed."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fedcredit.errors import ConfigError
from server.scoring.refusal import ScoringRefused
from server.scoring.tokens import (
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    MOST_DAYS,
    OLD_PUBLIC_FILE,
    PUBLIC_FILE,
    RENEWED,
    REVOKED_FILE,
    Caller,
    Role,
)

MOST_TOKEN_BYTES, MOST_KEY_BYTES, MOST_REMEMBERED = 2048, 16 * 1024, 4096
CLAIMS = ("iss", "aud", "sub", "role", "jti", "iat", "exp")
ASK = "fedcredit serve token makes one"
BIND = "fedcredit serve token --certificate SHA256 makes one for your certificate"
log = logging.getLogger(__name__)
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Key:
    """A public key, and the second at which another took its place."""

    public: Ed25519PublicKey
    renewed: float | None = None


class Verifier:
    """Tokens become callers; key files and the list of revoked tokens are followed."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._clock = folder, clock
        self._seen: dict[str, Stamp | None] = {}
        self._keys: dict[str, _Key] = {}
        self._revoked: frozenset[str] = frozenset()
        self._remembered = OrderedDict[str, Caller]()
        if not self.follow():
            raise ConfigError(
                "--keys", found=f"a {REVOKED_FILE} that cannot be read", expected="numbers of tokens that were revoked"
            )
        if not self._keys:
            hint = "fedcredit serve key makes a pair"
            raise ConfigError(
                "--keys", found=f"no {PUBLIC_FILE}", expected="the key that tokens are signed with", hint=hint
            )

    def follow(self) -> bool:
        """Read the files again where they changed; whether the list of revoked tokens could be read.

        Each file counts by itself, so that no key file keeps a revocation from counting. A list that is gone or cannot
        be read revokes what it did. A key that is gone, or is none, verifies nothing any more.
        """
        is_read = self._follow_revoked()
        for name in (PUBLIC_FILE, OLD_PUBLIC_FILE):
            self._follow_key(name)
        return is_read

    def _follow_revoked(self) -> bool:
        path = self._folder / REVOKED_FILE
        try:
            stamp = _stamp(path)
            if stamp is not None and stamp != self._seen.get(REVOKED_FILE):
                self._revoked = frozenset(path.read_text(encoding="ascii", errors="replace").split())
                self._seen[REVOKED_FILE] = stamp
                self._remembered.clear()
        except OSError as fault:
            log.error("%s was not read: %s", REVOKED_FILE, type(fault).__name__)  # noqa: TRY400 - no traceback
            return False
        return True

    def _follow_key(self, name: str) -> None:
        path = self._folder / name
        try:
            stamp = _stamp(path)
            if name in self._seen and stamp == self._seen[name]:
                return
            key = _public(path, stamp) if stamp is not None else None
        except OSError as fault:  # tried again at the next look
            log.error("%s was not read: %s", name, type(fault).__name__)  # noqa: TRY400 - no traceback
            return
        except (ValueError, UnsupportedAlgorithm) as fault:
            log.error("%s is no key: %s", name, type(fault).__name__)  # noqa: TRY400 - no traceback
            key = None
        self._keys.pop(name, None)
        if key is not None:
            self._keys[name] = key
        self._seen[name] = stamp
        self._remembered.clear()

    def knows(self, header: str | None) -> bool:
        """Whether the token was verified before, so that it costs nothing now."""
        return (header or "").partition(" ")[2] in self._remembered

    def caller(self, header: str | None, *, certificate: str | None = None) -> Caller:
        """The caller of an `Authorization` header; the certificate is the one that was shown to the gateway.

        Raises:
            ScoringRefused: there is no token, it is not ours, has run out, was revoked, or is another certificate's;
                or it came through the gateway and is bound to no certificate.
        """
        kind, _, token = (header or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _refused("no token")
        caller = self._remembered.get(token) or self._verified(token)
        if caller.expires <= self._clock():
            self._remembered.pop(token, None)
            raise _refused("a token that has run out")
        if caller.certificate is None and certificate is not None:  # it would count for every member who has it
            raise _refused("a token that is bound to no certificate", BIND)
        if caller.certificate is not None and caller.certificate != certificate:
            raise _refused("a token of another certificate", "send it through the gateway, with your own certificate")
        return caller

    def _verified(self, token: str) -> Caller:
        if len(token) > MOST_TOKEN_BYTES:
            raise _refused("a token that is not ours")
        claims, key = self._claims(token)
        cnf = claims.get("cnf")
        bound = cnf.get("x5t#S256") if isinstance(cnf, dict) else None
        facts = (claims["sub"], claims["role"], claims["jti"])
        is_whole = all(isinstance(one, str) for one in facts) and all(
            type(claims[one]) is int for one in ("iat", "exp")
        )
        is_whole = is_whole and claims["exp"] - claims["iat"] <= MOST_DAYS * 86_400
        if not is_whole or claims["role"] not in get_args(Role) or (cnf is not None and not isinstance(bound, str)):
            raise _refused("a token of another form")
        if key.renewed is not None and claims["iat"] > key.renewed:
            raise _refused("a token that an older key signed after its renewal")
        if claims["jti"] in self._revoked:
            raise _refused("a token that was revoked")
        caller = Caller(*facts, datetime.fromtimestamp(claims["exp"], UTC), bound)
        self._remembered[token] = caller
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return caller

    def _claims(self, token: str) -> tuple[dict[str, Any], _Key]:
        options: Any = {"require": list(CLAIMS), "verify_exp": False}  # by our clock, also for a remembered token
        for key in self._keys.values():
            try:
                said = {"algorithms": [ALGORITHM], "audience": AUDIENCE, "issuer": ISSUER, "options": options}
                return jwt.decode(token, key.public, **said), key
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                continue
        raise _refused("a token that is not ours")


def _refused(found: str, hint: str = ASK) -> ScoringRefused:
    return ScoringRefused("Authorization", code="token", found=found, expected="Bearer and a valid token", hint=hint)


def _public(path: Path, stamp: Stamp) -> _Key:
    """The key of a file. One that was renewed says when; where it does not, it was when the file was written."""
    with path.open("rb") as file:
        content = file.read(MOST_KEY_BYTES)
    key = load_pem_public_key(content)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(path.name)  # noqa: TRY004 - read as any other file that holds no key of ours
    if path.name != OLD_PUBLIC_FILE:
        return _Key(key)
    first = content.partition(b"\n")[0]
    return _Key(key, int(first.removeprefix(RENEWED)) if first.startswith(RENEWED) else stamp[0] / 1e9)


def _stamp(path: Path) -> Stamp | None:
    """What changes with a file; None where there is none. Raises OSError: nobody can say."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
