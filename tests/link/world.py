"""A small consortium on the loopback interface: an authority, a gateway, and a SuperLink that says what reached it."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedcredit.link import caddy
from fedcredit.link.authority import Authority, Role, certificate_sha256, new_key_and_csr
from fedcredit.link.tunnel import Ends, LocalTls, Patience, TunnelRole, tunnel_config
from server.gateway import Passes, Place, gateway_config
from tests.ports import free_port

HOST = "127.0.0.1"


def flower_key() -> str:
    """A new node's key as an OpenSSH line."""
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@dataclass(frozen=True)
class Card:
    """A certificate with its key, and what the manifest says of it."""

    certificate: Path
    key: Path
    flower_key: str = ""

    @property
    def fingerprint(self) -> str:
        """What the manifest names."""
        return certificate_sha256(self.certificate.read_text())


class SuperLink(ThreadingHTTPServer):
    """Answers every request with what it saw of it."""

    daemon_threads = True

    def __init__(self, card: Card) -> None:
        super().__init__((HOST, 0), _Answer)
        self.seen: list[dict[str, object]] = []
        self.on_request: Callable[[], None] | None = None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(card.certificate, card.key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that goes away is no news."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: SuperLink

    def do_POST(self) -> None:
        body = self._body()
        seen = {"path": self.path, "headers": [list(pair) for pair in self.headers.items()], "bytes": len(body)}
        self.server.seen.append(seen)
        if self.server.on_request:
            self.server.on_request()
        self._say(json.dumps(seen).encode())

    do_GET = do_POST  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):  # a body that breaks off is no body: ValueError
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class World:
    """What a test needs to build a gateway and its callers; `close` ends every process."""

    folder: Path
    authority: Authority
    superlink: SuperLink
    place: Place
    institutions: dict[str, Card] = field(default_factory=dict)
    operators: dict[str, Card] = field(default_factory=dict)
    running: list[caddy.Caddy] = field(default_factory=list)
    gateway: caddy.Caddy | None = None

    @classmethod
    def make(cls, folder: Path, *, require_pq: bool = True, max_body_bytes: int = 1_000_000) -> World:
        """An authority, a SuperLink and a place for a gateway that is not running yet."""
        authority = Authority.create(folder / "authority", name="pearl-river")
        gateway = card(authority, folder, "gateway", role="server")
        (folder / "studies" / "cohort").mkdir(parents=True)
        (folder / "studies" / "cohort" / "status.json").write_text('{"round": 3}')
        (folder / "studies" / "cohort" / ".secret").write_text("hidden")
        (folder / "manifest.json").write_text('{"schema": 1, "x": "{http.vars.x}"}')
        superlink = SuperLink(card(authority, folder, "superlink", role="server"))
        place = Place(
            listen=f"{HOST}:{free_port()}",
            server_name="gateway.test",
            certificate=gateway.certificate,
            key=gateway.key,
            superlink=superlink.address,
            manifest=folder / "manifest.json",
            studies=folder / "studies",
            metrics_port=free_port(),
            require_pq=require_pq,
            max_body_bytes=max_body_bytes,
        )
        world = cls(folder, authority, superlink, place)
        world.institutions = {
            name: replace(world.card(name), flower_key=flower_key()) for name in ("harbour", "meadow", "left")
        }
        world.operators = {"ops": world.card("ops", role="operator")}
        return world

    @property
    def port(self) -> int:
        """The gateway's."""
        return int(self.place.listen.rpartition(":")[2])

    def card(self, name: str, *, role: Role = "institution", days: int = 30, now: datetime | None = None) -> Card:
        """A certificate of the consortium's authority."""
        return card(self.authority, self.folder, name, role=role, days=days, now=now)

    def passes(self) -> Passes:
        """All of them but `left`, who has left."""
        named = {one.fingerprint: header(one) for name, one in self.institutions.items() if name != "left"}
        return Passes(named, frozenset(one.fingerprint for one in self.operators.values()), self.authority.pem)

    def without(self, name: str) -> Passes:
        """As `passes`, and one more has left."""
        passes = self.passes()
        gone = {**self.institutions, **self.operators}[name].fingerprint
        kept = {one: key for one, key in passes.institutions.items() if one != gone}
        return replace(passes, institutions=kept, operators=passes.operators - {gone})

    def open_gateway(self, place: Place | None = None) -> caddy.Caddy:
        """Start it, or start it again."""
        config = gateway_config(self.passes(), place or self.place)
        self.gateway = caddy.start(config, folder=self.folder / "run" / "gateway")
        self.running.append(self.gateway)
        return self.gateway

    def ends(self, one: Card, *, gateway: str = "", require_pq: bool = True) -> Ends:
        """What a tunnel of this card needs to know."""
        return Ends(
            gateway=gateway or self.place.listen,
            server_name=self.place.server_name,
            authority=self.authority.pem,
            certificate=one.certificate,
            key=one.key,
            require_pq=require_pq,
        )

    def tunnel(
        self,
        ends: Ends,
        *,
        role: TunnelRole = "institution",
        local: LocalTls | None = None,
        patience: Patience | None = None,
    ) -> int:
        """Start a tunnel; its port."""
        port = free_port()
        config = tunnel_config(ends, port=port, role=role, local=local, patience=patience or Patience(1.0))
        self.running.append(caddy.start(config, folder=self.folder / "run" / f"tunnel-{port}"))
        return port

    def close(self) -> None:
        """End every process."""
        for one in self.running:
            one.stop()
        self.superlink.shutdown()
        self.superlink.server_close()


def card(
    authority: Authority,
    folder: Path,
    name: str,
    *,
    role: Role = "institution",
    days: int = 30,
    now: datetime | None = None,
) -> Card:
    """A new key with a certificate of this authority."""
    key = folder / f"{name}.{len(list(folder.iterdir()))}.key"
    csr = new_key_and_csr(key, name=name)
    hosts = ("gateway.test", "localhost", HOST) if role == "server" else ()
    path = key.with_suffix(".crt")
    path.write_text(authority.issue(csr, role=role, name=name, days=days, hosts=hosts, now=now))
    return Card(path, key)


def header(one: Card) -> str:
    """The value that Flower's node sends, made from the card by hand."""
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    pem = load_ssh_public_key(one.flower_key.encode()).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(pem).decode()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    @property
    def seen(self) -> dict[str, str]:
        """The headers that reached the SuperLink, in lower case."""
        return {name.lower(): value for name, value in json.loads(self.body)["headers"]}


class Line:
    """One connection on which requests are written as a test wants them; no library cleans them up."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        raw = socket.create_connection((HOST, port), timeout=20)
        self.socket = tls.wrap_socket(raw, server_hostname="gateway.test") if tls else raw
        self.file = self.socket.makefile("rb")

    def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | list[tuple[str, str]] = {},  # noqa: B006
        body: bytes = b"",
        host: str = "gateway.test",
    ) -> Answer:
        """Write a request and read the answer."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
        if "content-length" not in {name.lower() for name, _ in pairs}:
            pairs = [*pairs, ("Content-Length", str(len(body)))]
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in pairs)
        self.socket.sendall(head.encode("latin-1") + b"\r\n" + body)
        return self.read()

    def read(self) -> Answer:
        """The next answer."""
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed")
        status, length, chunked = int(line.split()[1]), 0, False
        while (said := self.file.readline().strip().lower()) != b"":
            if said.startswith(b"content-length:"):
                length = int(said.split(b":")[1])
            chunked = chunked or said.startswith(b"transfer-encoding: chunked")
        if not chunked:
            return Answer(status, self.file.read(length))
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return Answer(status, body)

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def tls_client(world: World, one: Card | None, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Python's own TLS with this card; it has no post-quantum group."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=world.authority.pem)
    context.minimum_version = context.maximum_version = version
    if one:
        context.load_cert_chain(one.certificate, one.key)
    return context
