"""Private keys and a passphrase become one sealed file, which opens only beside the very backup that it belongs to.

scrypt (RFC 7914, N = 2^17, r = 8: 128 MiB for each guess) makes a key of the passphrase, AES-256-GCM seals the files
and binds them to the digest of backup.json: a list of files that somebody changed does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedcredit.errors import FedCreditError
from fedcredit.trust.keys import IDENTITY_SUITE, KeyFileRefused

HEAD = b"fedcredit/v1/backup-keys\n"
SALT, NONCE = 16, 12
SHORTEST_PASSPHRASE = 16
COST = 2**17


class BackupBroken(FedCreditError):
    """A backup cannot be made, or is not whole, not the one that was made, or not opened by this passphrase."""

    code = "backup"


def is_secret(name: str, head: bytes) -> bool:
    """Whether a file is a private key or a shared secret, by its name or its first bytes; in doubt it is.

    >>> is_secret("ca.key", b""), is_secret("x.pem", b"---BEGIN PRIVATE KEY---"), is_secret("ca.crt", b"---BEGIN C")
    (True, True, False)
    """
    is_named = name.endswith(".key") or "secret" in name or "passphrase" in name
    return is_named or b"PRIVATE KEY" in head or head.startswith(IDENTITY_SUITE)


def read_passphrase(path: Path) -> bytes:
    """The first line of a file that nobody else may read.

    Raises:
        KeyFileRefused: it is missing, short, or open to others.
    """
    try:
        with path.open("rb") as file:
            mode, line = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.readline(4096).rstrip(b"\r\n")
    except OSError as fault:
        raise KeyFileRefused(str(path), found=type(fault).__name__, expected="a file with the passphrase") from None
    if mode & 0o027:  # systemd's credentials may show a group that is one reader
        raise KeyFileRefused(str(path), found=f"mode {mode:04o}", expected="0600", hint=f"chmod 600 {path}")
    if len(line) < SHORTEST_PASSPHRASE:
        expected = f"at least {SHORTEST_PASSPHRASE} characters on its first line"
        raise KeyFileRefused(str(path), found=f"{len(line)}", expected=expected, hint="openssl rand -hex 16 makes one")
    return line


def seal(keys: Mapping[str, bytes], *, passphrase: bytes, beside: bytes) -> bytes:
    """The files, encrypted; `beside` is the backup.json that they belong to."""
    salt, nonce = os.urandom(SALT), os.urandom(NONCE)
    plain = json.dumps({path: base64.b64encode(data).decode() for path, data in keys.items()}).encode()
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, HEAD + hashlib.sha256(beside).digest())
    return HEAD + salt + nonce + sealed


def unseal(data: bytes, *, passphrase: bytes, beside: bytes) -> dict[str, bytes]:
    """The files again.

    Raises:
        BackupBroken: another passphrase, or the sealed file or backup.json were changed.
    """
    if not data.startswith(HEAD) or len(data) < len(HEAD) + SALT + NONCE + 16:
        raise BackupBroken("keys.sealed", found="another format", expected="keys that a backup sealed")
    salt, nonce, sealed = (rest := data[len(HEAD) :])[:SALT], rest[SALT : SALT + NONCE], rest[SALT + NONCE :]
    try:
        plain = AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, HEAD + hashlib.sha256(beside).digest())
        return {str(path): base64.b64decode(text, validate=True) for path, text in json.loads(plain).items()}
    except InvalidTag:
        hint = "each backup keeps the passphrase that it was made with"
        expected = "the passphrase and the backup.json that it was made with"
        raise BackupBroken("keys.sealed", found="a seal that does not open", expected=expected, hint=hint) from None
    except (ValueError, AttributeError, TypeError, binascii.Error):
        raise BackupBroken("keys.sealed", found="no list of keys", expected="keys that a backup sealed") from None


def _key(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=COST, r=8, p=1).derive(passphrase)
