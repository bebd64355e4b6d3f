"""An operator's order becomes a trained model at the platform: submitted, followed, picked up, resumed if it was cut.

The operator's machine needs no port of its own and keeps nothing running at the platform: it may go and come back, and
`resume` finds what the coordinator has done meanwhile.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from fedcredit.errors import FedCreditError, FederationError, PolicyRefused
from fedcredit.federation import checkpoint
from fedcredit.federation.checkpoint import RoundRecord
from fedcredit.federation.cohort import Member
from fedcredit.link.fetch import FetchFailed, fetch
from fedcredit.link.running import kept_tunnel
from fedcredit.link.tunnel import Ends
from fedcredit.trust.envelope import MAX_FILE_BYTES as MAX_MANIFEST_BYTES
from fedcredit.trust.files import write_whole
from fedcredit.trust.manifest import Manifest
from server.app import Conducted
from server.bundle import bundle
from server.consortium.operator import Profile
from server.coordinators import CUT
from server.deployed import FINAL, RESULT, STATUS
from server.evaluated import from_facts
from server.order_signature import signed
from server.orders import DeployedOrder
from server.publishing.order import PublishOrder
from server.superlink import Control, PlatformAway, control

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
AT_WORK = ("gathering", "running")  # what the status of a coordinator that lives may say
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_STATUS_BYTES = 1024 * 1024  # of a few lines for each member
ANSWER_SECONDS, FILE_SECONDS = 30.0, 600.0
MOST_RESTARTS = 5  # of a coordinator that was killed; one that fails by itself says so and is not started again


def conduct_on_consortium(
    order: DeployedOrder,
    profile: Profile,
    *,
    require_pq: bool = True,
    patience_seconds: float = 600.0,
    on_round: Callable[[RoundRecord], None] = lambda record: None,
) -> Conducted:
    """Conduct the order at the consortium of the profile, and bring its result here.

    `patience_seconds` is how long the platform may be away before this gives up; the run there goes on.

    Raises:
        PolicyRefused: the consortium has not allowed this study with this code.
        FederationError: the coordinator failed, or the platform stayed away.
    """
    with operators_tunnel(profile, require_pq=require_pq) as address:
        require_allowed(order, refreshed(profile, address))
        with (
            control(address) as superlink,
            _Desk(superlink, address, order, profile, patience_seconds=patience_seconds, on_round=on_round) as desk,
            tempfile.TemporaryDirectory(prefix="fedcredit-") as name,
        ):
            desk.run_to_end()
            return desk.fetch(Path(name))


def publish_to_consortium(
    order: PublishOrder, profile: Profile, *, require_pq: bool = True, patience_seconds: float = 600.0
) -> dict[str, Any]:
    """Send a promoted bundle to the nodes of the consortium; who has it, as the coordinator wrote it down.

    Raises:
        PolicyRefused: the consortium has not allowed this study with this code.
        FederationError: the coordinator failed, or the platform stayed away.
    """
    with operators_tunnel(profile, require_pq=require_pq) as address:
        require_allowed(order, refreshed(profile, address))
        with (
            control(address) as superlink,
            _Desk(
                superlink, address, order, profile, patience_seconds=patience_seconds, on_round=lambda record: None
            ) as desk,
        ):
            desk.run_to_end()
            return desk.result()


def stop_at_consortium(profile: Profile, folders: Sequence[str], *, require_pq: bool = True) -> list[int]:
    """Stop what is at work at the platform in these folders, STUDY/RUN/UNIT each. Gives the Flower runs that were.

    For an operator whose own process is gone: a coordinator goes on without it.
    """
    stopped = []
    with operators_tunnel(profile, require_pq=require_pq) as address, control(address) as superlink:
        for folder in folders:
            status = _status_at(f"http://{address}/v1/studies/{folder}/") or {}
            if status.get("state") in AT_WORK and superlink.stop(int(status["flower_run"])):
                stopped.append(int(status["flower_run"]))
    return stopped


@contextmanager
def operators_tunnel(profile: Profile, *, require_pq: bool = True) -> Iterator[str]:
    """The address of a tunnel to the consortium of the profile, while it is open."""
    facts = profile.facts
    ends = Ends(
        gateway=facts.gateway,
        server_name=facts.server_name,
        authority=(profile.folder / "ca.crt").read_text(encoding="ascii"),
        certificate=profile.folder / "tls.crt",
        key=profile.folder / "tls.key",
        require_pq=require_pq,
    )
    with (
        tempfile.TemporaryDirectory(prefix="fedcredit-") as name,
        kept_tunnel(ends, folder=Path(name) / "tunnel", role="operator") as tunnel,
    ):
        yield tunnel.address


def refreshed(profile: Profile, address: str) -> Manifest:
    """The consortium's newest manifest, through the tunnel; kept in the profile, with the authorities that it names."""
    try:
        data = fetch(f"http://{address}/v1/manifest", most=MAX_MANIFEST_BYTES, seconds=ANSWER_SECONDS)
    except FetchFailed as fault:
        hint = "is the gateway running? is this operator still in the manifest?"
        raise FederationError("gateway", found=fault.found, expected="the manifest", hint=hint) from None
    manifest = profile.manifest.accept(data, now=datetime.now(UTC))
    trusted, named = profile.folder / "ca.crt", manifest.authority.encode("ascii")
    if not trusted.exists() or trusted.read_bytes() != named:
        write_whole(trusted, named)
    return manifest


def require_allowed(order: DeployedOrder | PublishOrder, manifest: Manifest) -> None:
    """Return if the manifest allows the study, with the code that is installed here."""
    rule, ours = manifest.rule_for(order.study), bundle().sha256
    if rule is None or ours not in rule.bundles:
        found = f"no study {order.study}" if rule is None else f"other code for it than this (bundle {ours[:16]})"
        hint = f"fedcredit consortium study allow {order.study} --bundle {ours}"
        raise PolicyRefused(f"manifest version {manifest.version}", found=found, expected="this study", hint=hint)


class _Desk:
    """One order: its Flower run, and the next one where a coordinator was killed."""

    def __init__(
        self,
        superlink: Control,
        address: str,
        order: DeployedOrder | PublishOrder,
        profile: Profile,
        *,
        patience_seconds: float,
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        key, certificate = profile.folder / "tls.key", profile.folder / "tls.crt"
        self._config = signed(order.as_config(), key=key, certificate=certificate)
        self._superlink, self._address, self._order = superlink, address, order
        self._patience, self._on_round = patience_seconds, on_round
        self._base = f"http://{address}/v1/studies/{order.folder}/"
        self._http = httpx.Client(trust_env=False)
        self._told = 0
        self._away_since: float | None = None

    def __enter__(self) -> _Desk:
        return self

    def __exit__(self, *about: object) -> None:
        self._http.close()

    def run_to_end(self) -> None:
        """Return once the result is there."""
        if (self._status() or {}).get("state") == "succeeded":
            return
        for attempt in range(MOST_RESTARTS + 1):
            if attempt:
                log.warning("the coordinator was killed: another goes on from its last checkpoint")
            run = (self._under_way() if not attempt else None) or self._start()
            try:
                if self._follow(run):
                    return
            except KeyboardInterrupt:
                self._stop(run)
                raise
        raise FederationError(
            "coordinator",
            found=f"killed {MOST_RESTARTS + 1} times",
            expected="one that ends",
            hint="run/superexec.log at the platform; study resume goes on",
        )

    def fetch(self, folder: Path) -> Conducted:
        """The result: final model, history, who took part, what was spent."""
        status = self._status() or {}
        name = f"{FINAL}/round-{int(status['round']):05d}"
        kept = folder / "final"
        (kept / Path(name).name).mkdir(parents=True)
        for file in ("state.json", "arrays.safetensors"):
            (kept / Path(name).name / file).write_bytes(self._get(f"{name}/{file}"))
        state = checkpoint.load(kept, task_sha256=self._order.as_config()["order-sha256"])
        result = self.result()
        if state is None:
            raise FederationError("result", found="no final model", expected="one", hint="study resume asks again")
        epsilon = {str(name): float(value) for name, value in result["epsilon"].items()}
        silent = tuple(map(str, result["silent"]))
        if silent:
            log.warning("%s did not say what it spent: the plan's epsilon stands for it", ", ".join(silent))
        members = [Member(**member) for member in result["members"]]
        evaluations = tuple(from_facts(facts) for facts in result.get("evaluations", []))
        return Conducted(state, members, epsilon, silent, evaluations)

    def result(self) -> dict[str, Any]:
        """What the coordinator wrote down at the end."""
        try:
            result = json.loads(self._get(RESULT))
        except (ValueError, RecursionError):
            result = None
        if not isinstance(result, dict):
            raise FederationError(RESULT, found="another format", expected="the coordinator's result")
        return result

    def _under_way(self) -> int | None:
        """The Flower run of a coordinator that is at work on this order: an operator's machine may go and come back."""
        status = self._status() or {}
        run = int(status.get("flower_run", 0))
        state = self._superlink.state(run) if status.get("state") in AT_WORK else None
        return run if state is not None and not state.is_over else None

    def _start(self) -> int:
        while True:
            try:
                return self._superlink.start(bundle(), self._config)
            except PlatformAway as fault:
                self._wait_or_raise(fault)

    def _follow(self, run: int) -> bool:
        """Whether the run brought the result; False where it was cut before the coordinator could say anything."""
        while True:
            try:
                state, status = self._superlink.state(run), self._status() or {}
                self._away_since = None
            except PlatformAway as fault:
                self._wait_or_raise(fault)
                continue
            self._tell(status)
            is_ours = status.get("flower_run") == run
            if is_ours and status.get("state") == "succeeded":
                return True
            if is_ours and status.get("state") == "failed":
                code, fault_text = status.get("code", "error"), str(status.get("fault", ""))
                where = f"coordinator of {self._order.unit} ({code})"
                found = fault_text.partition("\n")[0][:500]
                hint = fault_text.partition("hint: ")[2][:300]
                raise FederationError(where, found=found, expected="a finished run", hint=hint)
            if state is None or state.is_over or (is_ours and status.get("state") == CUT):
                if state is not None and state.sub_status == "stopped":
                    raise FederationError("run", found="one that was stopped", expected="a finished one")
                self._stop(run)
                return False
            time.sleep(LOOK_SECONDS)

    def _stop(self, run: int) -> None:
        """Let nodes drop the questions of a run whose coordinator is gone; the SuperLink would learn of it later."""
        try:
            self._superlink.stop(run)
        except FederationError as fault:  # it is over already, or the platform is away
            log.info("%s", fault)

    def _tell(self, status: dict[str, Any]) -> None:
        number = int(status.get("round", 0))
        if number > self._told:
            self._told = number
            quarantined = dict(status.get("quarantined", {}))
            seconds = float(status.get("seconds", 0.0))
            self._on_round(RoundRecord(number, seconds, [], quarantined, [], None, None, {}))

    def _wait_or_raise(self, fault: FedCreditError) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            log.warning("the platform is away: %s", fault)
        if now - self._away_since > self._patience:
            raise fault
        time.sleep(LOOK_SECONDS)

    def _status(self) -> dict[str, Any] | None:
        return _status_at(self._base, client=self._http)

    def _get(self, name: str) -> bytes:
        try:
            return fetch(f"{self._base}{name}", most=MAX_FILE_BYTES, seconds=FILE_SECONDS, client=self._http)
        except FetchFailed as fault:
            raise FederationError(name, found=fault.found, expected=fault.expected) from None


def _status_at(base: str, *, client: httpx.Client | None = None) -> dict[str, Any] | None:
    """What a coordinator says in its folder; None where it has said nothing yet."""
    where = f"gateway at {base.split('/')[2]}"
    try:
        data = fetch(f"{base}{STATUS}", most=MAX_STATUS_BYTES, seconds=ANSWER_SECONDS, client=client)
        status = json.loads(data)
    except FetchFailed as fault:
        if fault.status == 404:
            return None
        kind = (
            PlatformAway
            if fault.status is None or fault.status >= httpx.codes.INTERNAL_SERVER_ERROR
            else FederationError
        )
        raise kind(where, found=fault.found, expected=STATUS) from None
    except (ValueError, RecursionError):
        status = None
    if not isinstance(status, dict):
        raise FederationError(where, found="another format", expected=STATUS)
    return status
