"""A consortium becomes its running platform: the three processes, and a SuperLink that knows the manifest's nodes."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.errors import ConfigError, FedCreditError, FederationError, NodeError
from fedcredit.trust.manifest import Manifest
from server.consortium.authorities import serving
from server.consortium.home import Consortium
from server.coordinators import mark_cut, notes_in
from server.following import Followed
from server.gateway_process import GatewayProcess, prepare_gateway
from server.kept import Kept, keep, wait_for_port
from server.superlink import control, key_bytes, key_text
from server.superlink_files import SuperLinkFiles

log = logging.getLogger(__name__)
PARTS = ("superlink", "superexec", "gateway")


def run_platform(consortium: Consortium, *, only: str | None = None) -> None:
    """Run the parts until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: `only` is no part. NodeError: they run already. LinkDown: the gateway does not start.
    """
    if only is not None and only not in PARTS:
        raise ConfigError("--only", found=repr(only), expected=", ".join(PARTS))
    home = consortium.places.folder
    files = SuperLinkFiles(home)
    prepare_servers(consortium)
    run = home / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    commands = {"superlink": files.superlink(), "superexec": files.superexec()}
    wanted = {name: command for name, command in commands.items() if only in (None, name)}
    with _alone(run, only or "platform"):
        kept = Kept(wanted, folder=run, environment=files.environment())
        watch = _Watch(consortium, files, only=only)
        keep(kept, on_look=watch.look, on_stop=watch.stop)


def prepare_servers(consortium: Consortium) -> None:
    """Make what the servers need and is not there yet; that takes the authority's key."""
    files = SuperLinkFiles(consortium.places.folder)
    if not files.certificate.exists():
        files.prepare(serving(consortium.places))
    prepare_gateway(consortium)


class _Watch:
    """What happens beside the processes: the gateway follows the manifest, and so do the SuperLink's nodes."""

    def __init__(self, consortium: Consortium, files: SuperLinkFiles, *, only: str | None) -> None:
        self._consortium, self._followed, self._files = consortium, Followed(consortium), files
        self._gateway = GatewayProcess(consortium) if only in (None, "gateway") else None
        self._knows_nodes = only in (None, "superlink")
        self._has_coordinators = only in (None, "superexec")
        self._registered = 0

    def look(self) -> None:
        """Follow the manifest; a fault is logged, and tried again at the next look."""
        try:
            if self._has_coordinators:
                for run in mark_cut(notes_in(self._consortium.places.folder)):
                    log.warning("the coordinator of run %s died", run)
            manifest = self._gateway.look() if self._gateway else self._followed.current()
            if self._knows_nodes and manifest.version != self._registered:
                wait_for_port(self._files.address, seconds=0.0)
                register_members(manifest, self._files)
                self._registered = manifest.version
                number = len(manifest.active_members)
                log.info(
                    "manifest version %s: %s members may sign in at %s", manifest.version, number, manifest.gateway
                )
        except (FedCreditError, OSError) as fault:
            if not isinstance(fault, FederationError):  # a SuperLink that is just starting
                log.warning("%s", fault)

    def stop(self) -> None:
        """End the gateway."""
        if self._gateway:
            self._gateway.stop()


def register_members(manifest: Manifest, files: SuperLinkFiles) -> None:
    """Make the SuperLink's nodes those of the active members."""
    wanted = {key_text(key_bytes(member.flower_key)): member for member in manifest.active_members}
    with control(files.address, root=files.root) as superlink:
        there = superlink.nodes()
        for key, member in wanted.items():
            if key not in there:
                superlink.register(member.flower_key, name=member.name)
        for key, node in there.items():
            if key not in wanted:
                superlink.unregister(node)


def online(consortium: Consortium) -> dict[str, str]:
    """Whether the node of each active member is online, by name."""
    files = SuperLinkFiles(consortium.places.folder)
    names = {key_text(key_bytes(member.flower_key)): member.name for member in consortium.current().active_members}
    with control(files.address, root=files.root) as superlink:
        states = superlink.node_states()
    return {name: states.get(key, "not registered") for key, name in names.items()}


@contextmanager
def _alone(run: Path, part: str) -> Iterator[None]:
    with (run / f"{part}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "fedcredit consortium status, or consortium stop"
            raise NodeError(str(run.parent), found="a consortium that runs", expected="none", hint=hint) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
