"""A Flower key and the tunnel's end become an active connection to the SuperLink's fleet API, and its end.

It is flwr's own connection code; what it swallows, or ends the process over, is an error here. Private names of flwr
are used; where else, fedcredit/federation/grid.py says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.supercore.error import FlowerError
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.fleet_http_connection import http_request_response
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from httpx import HTTPError, HTTPStatusError

from fedcredit.errors import NodeError
from fedcredit.trust.keys import require_private

log = logging.getLogger(__name__)

UNAUTHORIZED = 401


@dataclass(frozen=True)
class Fleet:
    """An active connection: Flower's own calls, by name."""

    node: int
    receive: Callable[[], Any]
    send: Callable[..., Any]
    get_run: Callable[[int], Any]
    get_fab: Callable[[str, int], Any]
    pull_object: Callable[[int, str], bytes]
    push_object: Callable[[int, str, str, bytes], None]
    confirm: Callable[[int, str], None]


@contextmanager
def connected(address: str, key: Path, *, last_node: int | None = None) -> Iterator[Fleet]:
    """The fleet API at `address`, which is the tunnel's end on this machine; active until the block is left.

    `last_node` is the id under which this very node was active when it died: the SuperLink would refuse it for up to a
    minute, so it is signed off first.

    Raises:
        NodeError: the SuperLink does not let this node in.
    """
    private = _flower_key(key)
    if last_node is not None:
        _sign_off(address, private, last_node)
    broken: Exception | None = None
    try:
        with http_request_response(address, True, None, (private, private.public_key())) as calls:
            try:
                yield Fleet(*calls)
            except Exception as fault:
                broken = fault
                raise
    except SystemExit as fault:  # flwr leaves the process where it cannot activate; its own log line says why
        raise _not_let_in(address) from fault
    except KeyboardInterrupt as fault:
        if _is_unauthorized(fault):
            raise _not_let_in(address) from fault
        raise
    if broken is not None:  # flwr logs what breaks the connection, and goes on as if nothing were
        raise broken


def _flower_key(path: Path) -> ec.EllipticCurvePrivateKey:
    require_private(path)
    key = load_ssh_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NodeError(path.name, found="another kind of key", expected="an ECDSA key, as flower-supernode takes it")
    return key


def _not_let_in(address: str) -> NodeError:
    return NodeError(
        f"SuperLink at {address}",
        found="a refusal to let this node in",
        expected="an active node",
        hint="another node with this key is online, or was less than a minute ago; or this machine's clock is off by "
        "five minutes; or its key is not registered: fedcredit node check",
    )


def _is_unauthorized(fault: BaseException) -> bool:
    """Whether it was a 401 that interrupted the process: flwr sends itself a signal then."""
    at: BaseException | None = fault
    while at is not None:
        if isinstance(at, HTTPStatusError) and at.response.status_code == UNAUTHORIZED:
            return True
        at = at.__context__
    return False


def _sign_off(address: str, key: ec.EllipticCurvePrivateKey, node: int) -> None:
    """Tell the SuperLink that the process which was active as `node` is no more; it may know that already."""
    signed = [RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(key, key.public_key())]
    with FleetHttpClient.from_server_address(address, True, None, interceptors=signed) as client:
        try:
            client.DeactivateNode(DeactivateNodeRequest(node_id=node))
        except HTTPStatusError as fault:
            known = FlowerError.from_json(fault.response.text)
            log.info("not signed off: %s", known.message if known else fault.response.status_code)
        except HTTPError as fault:
            log.info("not signed off: %s", type(fault).__name__)
