"""Flower's SuperLink as the platform uses it: nodes are registered, runs are started, watched and stopped.

The control API is flwr's own client over a loopback address: the SuperLink itself at the platform, the end of the
tunnel on an operator's machine. Private names of flwr (pinned to one minor version) are used here; where else,
fedcredit/federation/grid.py says.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.federation_config_pb2 import SimulationConfig
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.error import FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedcredit.errors import FederationError
from server.bundle import Bundle


class PlatformAway(FederationError):
    """The SuperLink or its gateway gives no answer now; the same question may be answered later."""

    code = "away"


@dataclass(frozen=True)
class RunState:
    """What a SuperLink says of a run: `pending`, `starting`, `running`, or finished as `completed|failed|stopped`."""

    status: str
    sub_status: str
    details: str

    @property
    def is_over(self) -> bool:
        """Whether it will not change any more."""
        return self.status == "finished"


@contextmanager
def control(address: str, *, root: Path | None = None) -> Iterator[Control]:
    """The control API at `address`; `root` is the certificate of who signed the SuperLink's, where it speaks TLS."""
    signed = [RuntimeVersionHttpInterceptor(component_name="flwr CLI")]
    certificates = root.read_bytes() if root is not None else None
    with ControlHttpClient.from_server_address(address, root is None, certificates, interceptors=signed) as client:
        yield Control(client, address)


class Control:
    """The calls of the control API that a consortium needs. Each raises FederationError where it fails."""

    def __init__(self, client: ControlHttpClient, address: str) -> None:
        self._client, self._address = client, address

    def start(self, bundle: Bundle, config: Mapping[str, str | int]) -> int:
        """The id of a new run of the bundle with these settings."""
        fab = fab_to_proto(Fab(bundle.sha256, bundle.content, {}))
        request = StartRunRequest(
            fab=fab,
            override_config=user_config_to_proto(dict(config)),
            federation="",
            override_federation_config=SimulationConfig(),
        )
        with self._told("starting a run"):
            return int(self._client.StartRun(request).run_id)

    def state(self, run: int) -> RunState | None:
        """How the run stands, or None where the SuperLink does not know it."""
        with self._told("asking for a run"):
            answer = self._client.ListRuns(ListRunsRequest(run_id=run))
        if run not in answer.run_dict:
            return None
        status = answer.run_dict[run].status
        return RunState(status.status, status.sub_status, status.details)

    def stop(self, run: int) -> bool:
        """Ask the run to stop."""
        with self._told("stopping a run"):
            return bool(self._client.StopRun(StopRunRequest(run_id=run)).success)

    def nodes(self) -> dict[str, int]:
        """The id of every registered node by its public key, in base64."""
        with self._told("listing nodes"):
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return {key_text(bytes(node.public_key)): int(node.node_id) for node in found if node.status != "unregistered"}

    def node_states(self) -> dict[str, str]:
        """`registered`, `online` or `offline`, by public key in base64."""
        with self._told("listing nodes"):
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return {key_text(bytes(node.public_key)): str(node.status) for node in found if node.status != "unregistered"}

    def register(self, flower_key: str, *, name: str) -> int:
        """The node id of a public key in OpenSSH's form."""
        with self._told("registering a node"):
            answer = self._client.RegisterNode(RegisterNodeRequest(public_key=key_bytes(flower_key), name=name))
        return int(answer.node_id)

    def unregister(self, node: int) -> None:
        """Let the node in no more."""
        with self._told("removing a node"):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as fault:
            known = FlowerError.from_json(fault.response.text)
            found = known.message if known else f"HTTP {fault.response.status_code}"
            is_away = fault.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
            kind = PlatformAway if is_away else FederationError
            raise kind(f"{what} at {self._address}", found=found, expected="an answer") from None
        except httpx.HTTPError as fault:
            hint = "is it running? fedcredit consortium status"
            found = type(fault).__name__
            raise PlatformAway(f"{what} at {self._address}", found=found, expected="a SuperLink", hint=hint) from None


def key_bytes(flower_key: str) -> bytes:
    """A node's public key as Flower's headers and tables hold it."""
    key = load_ssh_public_key(flower_key.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise FederationError("flower key", found=type(key).__name__, expected="an ECDSA public key")
    return public_key_to_bytes(key)


def key_text(key: bytes) -> str:
    """A public key in base64: how it stands in a header."""
    return base64.b64encode(key).decode()
