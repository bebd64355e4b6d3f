"""The first bytes of a connection become the key exchange that both sides agreed on.

A TLS 1.3 connection says in clear which group its keys come from: the client offers some in its ClientHello, the
server picks one in its ServerHello (RFC 8446, 4.1 and 4.2). X25519MLKEM768 (0x11ec) is X25519 and ML-KEM-768 together
(RFC 9794's hybrid; draft-ietf-tls-ecdhe-mlkem): what is recorded today stays secret from a quantum computer tomorrow.

    probe("gateway.example", 443, server_name="gateway.example")      # Negotiated(group=0x11ec, ...) or LinkRefused
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcredit.errors import PolicyRefused
from fedcredit.link.wire import Reader, block

X25519MLKEM768, X25519 = 0x11EC, 0x001D
GROUP_NAMES = {X25519MLKEM768: "X25519MLKEM768", X25519: "X25519", 0x0017: "P-256", 0x0018: "P-384", 0x0019: "P-521"}
TLS13 = 0x0304
HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC = 22, 21, 20
CLIENT_HELLO, SERVER_HELLO = 1, 2
SERVER_NAME, SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, SUPPORTED_VERSIONS, KEY_SHARE = 0, 10, 13, 43, 51
# SHA-256 of "HelloRetryRequest": the random of a ServerHello that asks for another key share (RFC 8446, 4.1.3).
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
MAX_HELLO_BYTES = 64 * 1024
MLKEM768_CIPHERTEXT = 1088  # FIPS 203, table 3


class LinkRefused(PolicyRefused):
    """The other side does not speak the key exchange that this link requires, or no TLS 1.3 at all."""

    code = "link"


@dataclass(frozen=True)
class ClientHello:
    """What a client offers."""

    versions: tuple[int, ...]
    groups: tuple[int, ...]
    key_shares: tuple[int, ...]
    server_name: str | None


@dataclass(frozen=True)
class Negotiated:
    """What a server picked."""

    version: int
    group: int

    @property
    def name(self) -> str:
        """The group as the standards write it."""
        return GROUP_NAMES.get(self.group, f"0x{self.group:04x}")

    def require(self, group: int = X25519MLKEM768) -> None:
        """Return if it is TLS 1.3 with this group. Raises LinkRefused otherwise."""
        if (self.version, self.group) != (TLS13, group):
            raise _refused(f"{self.name} in version 0x{self.version:04x}", group)


def read_client_hello(stream: bytes) -> ClientHello:
    """The offer at the start of what a client sent. Raises LinkRefused if it starts otherwise."""
    for kind, body in _messages(stream):
        if kind == CLIENT_HELLO:
            try:
                return _client_hello(Reader(body))
            except ValueError:
                break
    raise _refused("no ClientHello", X25519MLKEM768)


def read_server_hello(stream: bytes, *, offered: int = X25519MLKEM768) -> Negotiated:
    """The choice at the start of what a server sent; its last word, where it first asked for another key share.

    Raises:
        LinkRefused: it sent none: an alert, another protocol, or an older version of TLS.
    """
    found: Negotiated | None = None
    for kind, body in _messages(stream):
        if kind == SERVER_HELLO:
            try:
                found = _server_hello(Reader(body))
            except ValueError:
                break
            if found:
                return found
    said = f"alert {stream[6]}" if len(stream) > 6 and stream[0] == ALERT else "no ServerHello of TLS 1.3"
    raise _refused(said, offered)


def probe(
    host: str, port: int, *, server_name: str | None = None, group: int = X25519MLKEM768, wait: float = 5.0
) -> Negotiated:
    """What a server answers to a client that offers this one group; the connection ends there.

    Raises:
        LinkRefused: it picks another, asks for another, refuses, or is not reached within `wait` seconds.
    """
    share, size = _key_share(group)
    stream = b""
    try:
        with socket.create_connection((host, port), timeout=wait) as connection:
            connection.sendall(_hello(group, share, server_name=server_name))
            while len(stream) < MAX_HELLO_BYTES and not _has_answer(stream):
                more = connection.recv(16 * 1024)
                if not more:
                    break
                stream += more
    except OSError as fault:
        raise _refused(f"no connection ({type(fault).__name__})", group) from None
    found = read_server_hello(stream, offered=group)
    found.require(group)
    if size not in {len(s) for s in _server_shares(stream)}:
        raise _refused("a key share of another length", group)
    return found


def _key_share(group: int) -> tuple[bytes, int]:
    """A client's key share, and the length of the server's."""
    classical = X25519PrivateKey.generate().public_key().public_bytes_raw()
    if group == X25519:
        return classical, len(classical)
    if group == X25519MLKEM768:  # ML-KEM first, in both directions
        lattice = MLKEM768PrivateKey.generate().public_key().public_bytes_raw()
        return lattice + classical, MLKEM768_CIPHERTEXT + len(classical)
    raise ValueError(f"no key share of group 0x{group:04x}")


def _hello(group: int, share: bytes, *, server_name: str | None) -> bytes:
    extensions = {
        SUPPORTED_GROUPS: block(group.to_bytes(2, "big"), 2),
        SIGNATURE_ALGORITHMS: block(bytes.fromhex("0403 0503 0603 0807 0804 0805 0806"), 2),
        SUPPORTED_VERSIONS: block(TLS13.to_bytes(2, "big"), 1),
        KEY_SHARE: block(group.to_bytes(2, "big") + block(share, 2), 2),
    }
    if server_name and not server_name.replace(".", "").isdigit() and ":" not in server_name:
        extensions[SERVER_NAME] = block(b"\0" + block(server_name.encode("idna"), 2), 2)
    body = (
        b"\x03\x03"
        + secrets.token_bytes(32)
        + block(secrets.token_bytes(32), 1)
        + block(bytes.fromhex("1301 1302 1303"), 2)
        + block(b"\0", 1)
        + block(b"".join(kind.to_bytes(2, "big") + block(data, 2) for kind, data in extensions.items()), 2)
    )
    message = bytes([CLIENT_HELLO]) + block(body, 3)
    return bytes([HANDSHAKE, 3, 1]) + block(message, 2)


def _messages(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """The handshake messages in clear, as far as the stream has them whole."""
    records, clear = Reader(stream[:MAX_HELLO_BYTES]), b""
    try:
        while records.left:
            kind, _version, data = records.number(1), records.number(2), records.block(2)
            if kind == HANDSHAKE:
                clear += data
            elif kind != CHANGE_CIPHER_SPEC:
                break
    except ValueError:  # the last record is not whole
        pass
    messages = Reader(clear)
    try:
        while messages.left:
            yield messages.number(1), messages.block(3)
    except ValueError:
        return


def _has_answer(stream: bytes) -> bool:
    return any(kind == SERVER_HELLO for kind, _ in _messages(stream)) or stream[:1] not in (b"", bytes([HANDSHAKE]))


def _client_hello(body: Reader) -> ClientHello:
    body.skip(2 + 32)  # legacy version, random
    body.block(1)  # session
    body.block(2)  # ciphers
    body.block(1)  # compression
    found = _extensions(body)
    names = found[SERVER_NAME].inner(2) if SERVER_NAME in found else None
    if names:
        names.skip(1)
    shares = found[KEY_SHARE].inner(2) if KEY_SHARE in found else Reader(b"")
    offered: list[int] = []
    while shares.left:
        offered.append(shares.number(2))
        shares.block(2)
    return ClientHello(
        versions=found[SUPPORTED_VERSIONS].inner(1).numbers(2) if SUPPORTED_VERSIONS in found else (),
        groups=found[SUPPORTED_GROUPS].inner(2).numbers(2) if SUPPORTED_GROUPS in found else (),
        key_shares=tuple(offered),
        server_name=names.block(2).decode("ascii") if names else None,
    )


def _server_hello(body: Reader) -> Negotiated | None:
    """The choice, or nothing where the server asks for another key share and will say more."""
    body.skip(2)
    random = body.take(32)
    body.block(1)
    body.skip(2 + 1)
    found = _extensions(body)
    if random == RETRY:
        return None
    if SUPPORTED_VERSIONS not in found or KEY_SHARE not in found:
        raise ValueError("no TLS 1.3")
    return Negotiated(found[SUPPORTED_VERSIONS].number(2), found[KEY_SHARE].number(2))


def _server_shares(stream: bytes) -> Iterator[bytes]:
    for kind, message in _messages(stream):
        if kind == SERVER_HELLO:
            body = Reader(message)
            body.skip(2 + 32)
            body.block(1)
            body.skip(2 + 1)
            share = _extensions(body)[KEY_SHARE]
            share.skip(2)
            yield share.block(2)


def _extensions(body: Reader) -> dict[int, Reader]:
    listed, found = body.inner(2), dict[int, Reader]()
    while listed.left:
        kind = listed.number(2)
        if kind in found:
            raise ValueError("an extension twice")
        found[kind] = Reader(listed.block(2))
    return found


def _refused(found: str, group: int) -> LinkRefused:
    name = GROUP_NAMES.get(group, f"0x{group:04x}")
    return LinkRefused("link", found=found, expected=f"TLS 1.3 with {name}", hint="both ends need Caddy 2.10 or newer")
