"""A consortium becomes its running platform: the three processes, and a SuperLink that knows the manifest's nodes."""

from __future__ import annotations

import logging
import time

from fedcredit.errors import ConfigError, FedCreditError, FederationError
from fedcredit.trust.manifest import Manifest
from server.certified import gateway_certified
from server.consortium.home import Consortium
from server.coordinators import mark_cut, notes_in
from server.following import Followed
from server.gateway_process import CERTIFICATE_SECONDS, GatewayProcess
from server.keepers import PARTS, alone
from server.kept import PLATFORM, Kept, keep, wait_for_port
from server.superlink import control, key_bytes, key_text
from server.superlink_files import SuperLinkFiles

log = logging.getLogger(__name__)


def run_platform(consortium: Consortium, *, only: str | None = None) -> None:
    """Run the parts until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: `only` is no part. NodeError: they run already. LinkDown: the gateway does not start.
    """
    if only is not None and only not in PARTS:
        raise ConfigError("--only", found=repr(only), expected=", ".join(PARTS))
    home = consortium.places.folder
    files = SuperLinkFiles(home)
    prepare_servers(consortium, only=only)
    run = home / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    commands = {"superlink": files.superlink(), "superexec": files.superexec()}
    wanted = {name: command for name, command in commands.items() if only in (None, name)}
    with alone(run, only):
        # Flower's SuperExec asks a SuperLink that is not there yet again after up to ten seconds.
        after = {"superexec": files.address} if only is None else {}
        kept = Kept(wanted, folder=run, environment=files.environment(), keeper=only or PLATFORM, after=after)
        watch = _Watch(consortium, files, kept, only=only)
        keep(kept, on_look=watch.look, on_stop=watch.stop)


def prepare_servers(consortium: Consortium, *, only: str | None = None) -> None:
    """Make what the servers (or one part) need and is missing or out of date.

    Raises:
        KeyFileRefused, CertificateRefused: a certificate is missing, and the authority's key is not here.
    """
    places, files = consortium.places, SuperLinkFiles(consortium.places.folder)
    files.prepare()
    if consortium.file.path.exists():  # at `init` it may still be short of signatures
        files.trust(consortium.current())
    if only in (None, "superlink"):
        files.certified.keep(places)
    if only in (None, "gateway"):
        gateway_certified(places, consortium.settings).keep(places)


class _Watch:
    """What happens beside the processes: the gateway follows the manifest, and so do the SuperLink's nodes."""

    def __init__(self, consortium: Consortium, files: SuperLinkFiles, kept: Kept, *, only: str | None) -> None:
        self._consortium, self._followed, self._files = consortium, Followed(consortium), files
        self._kept, self._shown, self._looked = kept, _certificate(files), 0.0
        self._gateway = GatewayProcess(consortium) if only in (None, "gateway") else None
        self._knows_nodes = only in (None, "superlink")
        self._has_coordinators = only in (None, "superexec")
        self._registered = self._trusted = 0
        self._told = ""

    def look(self) -> None:
        """Follow the manifest and the authority; a fault is logged once, and tried again at the next look."""
        try:
            if self._has_coordinators:
                for run in mark_cut(notes_in(self._consortium.places.folder)):
                    log.warning("the coordinator of run %s died", run)
            manifest = self._gateway.look() if self._gateway else self._followed.current()
            if manifest.version != self._trusted:
                self._files.trust(manifest)
                self._trusted = manifest.version
            self._follow_certificate()
            if self._knows_nodes and manifest.version != self._registered:
                wait_for_port(self._files.address, seconds=0.0)
                register_members(manifest, self._files)
                self._registered = manifest.version
                number = len(manifest.active_members)
                log.info(
                    "manifest version %s: %s members may sign in at %s", manifest.version, number, manifest.gateway
                )
            self._told = ""
        except (FedCreditError, OSError) as fault:
            is_news = str(fault) != self._told
            self._told = str(fault)
            if is_news and not isinstance(fault, FederationError):  # a SuperLink that is just starting
                log.warning("%s", fault)

    def _follow_certificate(self) -> None:
        """Start SuperLink and SuperExec again where the SuperLink's certificate is another one than they began with."""
        if time.monotonic() < self._looked + CERTIFICATE_SECONDS:
            return
        self._looked = time.monotonic()
        if self._knows_nodes:
            self._files.certified.keep(self._consortium.places)
        shown = _certificate(self._files)
        if shown != self._shown:
            log.info("the SuperLink has a new certificate: it is started again")
            self._shown = shown
            self._kept.restart()

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


def _certificate(files: SuperLinkFiles) -> bytes:
    try:
        return files.certified.certificate.read_bytes()
    except FileNotFoundError:  # in a container of another part
        return b""
