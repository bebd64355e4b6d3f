"""The handshake: what both sides really agreed on is read from their own bytes, and hostile bytes are refused."""

from __future__ import annotations

import random
import socket
import ssl
import threading

import pytest

from fedcredit.link.handshake import (
    RETRY,
    TLS13,
    X25519,
    X25519MLKEM768,
    ClientHello,
    LinkRefused,
    Negotiated,
    _hello,
    probe,
    read_client_hello,
    read_server_hello,
)
from fedcredit.link.wire import block
from tests.link.world import HOST


def record(message: bytes, kind: int = 22) -> bytes:
    """A TLS record."""
    return bytes([kind, 3, 3]) + block(message, 2)


def server_hello(group: int, *, random: bytes = bytes(32), version: int = TLS13, share: bytes = b"s") -> bytes:
    """A ServerHello by hand."""
    shown = group.to_bytes(2, "big") + (b"" if random == RETRY else block(share, 2))
    extensions = b"".join(
        kind.to_bytes(2, "big") + block(data, 2) for kind, data in ((43, version.to_bytes(2, "big")), (51, shown))
    )
    body = b"\x03\x03" + random + block(b"", 1) + b"\x13\x01\x00" + block(extensions, 2)
    return b"\x02" + block(body, 3)


def test_our_own_hello_offers_the_one_group_and_names_the_server() -> None:
    hello = read_client_hello(_hello(X25519MLKEM768, b"k" * 1216, server_name="gateway.test"))
    assert hello == ClientHello((TLS13,), (X25519MLKEM768,), (X25519MLKEM768,), "gateway.test")


def test_an_address_is_no_server_name() -> None:
    assert read_client_hello(_hello(X25519, b"k" * 32, server_name="127.0.0.1")).server_name is None


def test_the_hello_of_python_s_own_tls_is_read_and_has_no_post_quantum_group() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="bank.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = read_client_hello(outgoing.read())
    assert hello.server_name == "bank.test"
    assert TLS13 in hello.versions
    assert X25519 in hello.key_shares
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        assert X25519MLKEM768 not in hello.groups


def test_a_choice_is_read_also_in_pieces_and_after_a_retry() -> None:
    whole = server_hello(X25519MLKEM768)
    asked = server_hello(X25519MLKEM768, random=RETRY)
    expected = Negotiated(TLS13, X25519MLKEM768)
    assert read_server_hello(record(whole)) == expected
    assert read_server_hello(record(whole[:9]) + record(whole[9:]) + record(b"cipher", 23)) == expected
    assert read_server_hello(record(asked) + record(b"\1", 20) + record(whole)) == expected
    assert expected.name == "X25519MLKEM768"


def test_a_retry_alone_is_no_agreement() -> None:
    with pytest.raises(LinkRefused):
        read_server_hello(record(server_hello(X25519MLKEM768, random=RETRY)))


@pytest.mark.parametrize("group", [X25519, 0x0017, 0x11EB])
def test_another_group_is_not_what_is_required(group: int) -> None:
    with pytest.raises(LinkRefused) as refused:
        read_server_hello(record(server_hello(group))).require()
    assert refused.value.code == "link"
    assert refused.value.exit_code == 3


def test_tls_1_2_is_not_what_is_required() -> None:
    older = b"\x02" + block(b"\x03\x03" + bytes(32) + block(b"", 1) + b"\xc0\x2b\x00" + block(b"", 2), 3)
    with pytest.raises(LinkRefused):
        read_server_hello(record(older))
    with pytest.raises(LinkRefused):
        read_server_hello(record(server_hello(X25519MLKEM768, version=0x0303))).require()


def test_an_alert_is_named() -> None:
    with pytest.raises(LinkRefused, match="alert 40"):
        read_server_hello(record(bytes([2, 40]), 21))


def test_random_and_cut_bytes_are_refused_and_never_crash() -> None:
    rng = random.Random(5)
    good = record(server_hello(X25519MLKEM768)), _hello(X25519MLKEM768, b"k" * 1216, server_name="gateway.test")
    for number in range(3000):
        data = bytearray(rng.choice(good) if number % 3 else rng.randbytes(rng.randrange(200)))
        for _ in range(rng.randrange(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        for read in (read_server_hello, read_client_hello):
            try:
                read(bytes(data[: rng.randrange(len(data) + 1)]))
            except LinkRefused:
                continue


def answering(reply: bytes) -> int:
    """A port that answers one connection with these bytes."""
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            client.recv(64 * 1024)
            client.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    "reply",
    [
        record(server_hello(X25519, share=bytes(32))),
        record(server_hello(X25519MLKEM768, random=RETRY)),
        record(server_hello(X25519MLKEM768, share=b"short")),
        record(bytes([2, 40]), 21),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ],
)
def test_a_server_that_answers_otherwise_is_refused(reply: bytes) -> None:
    with pytest.raises(LinkRefused):
        probe(HOST, answering(reply), wait=2)


def test_a_server_that_is_not_there_or_silent_is_refused_in_time() -> None:
    with socket.create_server((HOST, 0)) as silent, pytest.raises(LinkRefused, match="TimeoutError"):
        probe(HOST, silent.getsockname()[1], wait=0.2)
    with pytest.raises(LinkRefused, match="ConnectionRefusedError"):
        probe(HOST, 1, wait=1)
