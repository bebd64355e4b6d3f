"""The small words of a signed document - names, moments, addresses, digests - become checked values."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from fedcredit.errors import ConfigError

MAX_NAME = 64  # bytes; X.509's limit on a common name (RFC 5280, ub-common-name)
DIGEST = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9a-fA-F:.]{2,45}\]):(?P<port>\d{1,5})"
)
FORBIDDEN = set('/\\:*?"<>|')


def checked_name(said: str, *, where: str) -> str:
    """The name, if it can be a certificate's common name and a folder's name on any system.

    >>> checked_name("某银行", where="institution")
    '某银行'

    Raises:
        ConfigError: empty, too long, not in Unicode's form NFC, with a slash, or with what cannot be seen.
    """
    plain = said == unicodedata.normalize("NFC", said) and said == said.strip() and said.isprintable()
    # A name with a leading dot would be a hidden folder, one with a leading dash an option of some command.
    if not plain or not 0 < len(said.encode()) <= MAX_NAME or said[0] in ".-~" or FORBIDDEN & set(said):
        raise ConfigError(
            where,
            found=repr(said[:80]),
            expected=f"1 to {MAX_NAME} bytes of letters that can be seen, without / and the like",
        )
    return said


def same_name(said: str) -> str:
    """What two names have in common that people would take for one: case, width and joined letters left out.

    >>> same_name("Bank-A") == same_name("ｂank-a")
    True
    """
    return unicodedata.normalize("NFKC", said).casefold()


def checked_digest(said: str, *, where: str) -> str:
    """The SHA-256 in hex. Raises ConfigError if it is none."""
    if not DIGEST.fullmatch(said):
        raise ConfigError(where, found=repr(said[:80]), expected="a SHA-256: 64 digits of 0-9 and a-f")
    return said


def checked_address(said: str, *, where: str) -> str:
    """The address "host:port". Raises ConfigError if it is none."""
    match = ADDRESS.fullmatch(said)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ConfigError(where, found=repr(said[:80]), expected="host:port, such as gateway.example:443")
    return said


def host_of(address: str) -> str:
    """The host of "host:port", without the brackets of an IPv6 address."""
    return address.rpartition(":")[0].strip("[]")


def moment_text(moment: datetime) -> str:
    """The moment in UTC, to the second: the one spelling that signed documents have.

    >>> moment_text(datetime(2027, 1, 15, 8, 30, tzinfo=UTC))
    '2027-01-15T08:30:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(said: str, *, where: str) -> datetime:
    """The moment that `moment_text` wrote. Raises ConfigError at any other spelling."""
    try:
        return datetime.strptime(said, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(where, found=repr(said[:80]), expected="a moment such as 2027-01-15T08:30:00Z") from None


def whole_second(moment: datetime) -> datetime:
    """The moment in UTC without its parts of a second, as a document keeps it. Raises ValueError without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(UTC).replace(microsecond=0)
