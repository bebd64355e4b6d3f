"""A token becomes the caller that it speaks for; key files and the list of revoked tokens are followed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fedcredit.errors import ConfigError
from server.scoring.refusal import ScoringRefused
from server.scoring.tokens import (
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    OLD_PUBLIC_FILE,
    PUBLIC_FILE,
    REVOKED_FILE,
    Caller,
    Role,
)

MOST_TOKEN_BYTES, MOST_KEY_BYTES, MOST_REMEMBERED = 2048, 16 * 1024, 4096
CLAIMS = ("iss", "aud", "sub", "role", "jti", "iat", "exp")
ASK = "fedcredit serve token makes one"


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
    return ScoringRefused("Authorization", code="token", found=found, expected="Bearer and a valid token", hint=hint)


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
