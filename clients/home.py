"""An institution's name becomes the one folder of its node, and the name of every file in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.privacy.account import home, ledger_path

PRIVATE_FOLDER = 0o700


@dataclass(frozen=True)
class NodeHome:
    """A node's folder: keys, what the consortium signed, what the operator set, and what must survive a restart.

    >>> NodeHome(Path("bank-a")).tls_key.as_posix()
    'bank-a/tls.key'
    """

    folder: Path

    @property
    def identity(self) -> Path:
        """Key of the institution: signs what it masks and its request to join."""
        return self.folder / "identity.key"

    @property
    def officer(self) -> Path:
        """Key of the officer: signs the policy. May be kept elsewhere once the policy is signed."""
        return self.folder / "officer.key"

    @property
    def flower(self) -> Path:
        """Key of the node towards Flower's SuperLink."""
        return self.folder / "flower.key"

    @property
    def tls_key(self) -> Path:
        """Key of the link to the gateway."""
        return self.folder / "tls.key"

    @property
    def keys(self) -> tuple[Path, ...]:
        """Every file that nobody but the node's own user may read."""
        return self.identity, self.officer, self.flower, self.tls_key

    @property
    def officer_public(self) -> Path:
        """Public half of the officer's key, in hex."""
        return self.folder / "officer.pub"

    @property
    def request(self) -> Path:
        """What was asked for last, as it was sent."""
        return self.folder / "request.fcreq"

    @property
    def tls_certificate(self) -> Path:
        """What the consortium issued for the key of the link."""
        return self.folder / "tls.crt"

    @property
    def authority(self) -> Path:
        """Certificate of the consortium's authority, by which the gateway is known."""
        return self.folder / "ca.crt"

    @property
    def manifest(self) -> Path:
        """Who and what the consortium allows, signed by its officers."""
        return self.folder / "manifest.json"

    @property
    def roster(self) -> Path:
        """The other institutions' identities, from the manifest."""
        return self.folder / "roster.json"

    @property
    def facts(self) -> Path:
        """What the operator set: which rows, which limits."""
        return self.folder / "node.yaml"

    @property
    def windows(self) -> Path:
        """The rows that it trains on, unless the facts name another file."""
        return self.folder / "windows.npz"

    @property
    def policy(self) -> Path:
        """What the institution allows, in YAML; its signature stands beside it."""
        return self.folder / "policy.yaml"

    @property
    def ledger(self) -> Path:
        """What its companies' rows have spent."""
        return self.folder / "ledger.sqlite"

    @property
    def audit_log(self) -> Path:
        """What was asked, decided and sent."""
        return self.folder / "audit.jsonl"

    @property
    def state(self) -> Path:
        """Masks and runs."""
        return self.folder / "state"

    @property
    def champion(self) -> Path:
        """Bundles that officers promoted, and which of them is in force."""
        return self.folder / "champion"

    @property
    def run(self) -> Path:
        """Process numbers, sockets and logs of the node that runs."""
        return self.folder / "run"

    @property
    def unit(self) -> Path:
        """The generated systemd unit."""
        return self.folder / "fedcredit-node.service"

    def make(self) -> NodeHome:
        """The folder, made on first use, open to its owner only."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        self.folder.chmod(PRIVATE_FOLDER)
        return self


def home_of(institution: str) -> NodeHome:
    """The folder of that institution under FEDCREDIT_HOME (~/.fedcredit); its ledger has always been there."""
    return NodeHome(ledger_path(institution).parent)


def find_home(said: Path | None) -> NodeHome:
    """The folder that was named, or the only node's folder under FEDCREDIT_HOME.

    Raises:
        ConfigError: there is none, or several.
    """
    if said is not None:
        if not said.is_dir():
            hint = "fedcredit node request makes it"
            raise ConfigError("--home", found=f"no folder {said}", expected="a node's folder", hint=hint)
        return NodeHome(said.resolve())
    found = sorted(path.parent for path in home().glob("*/flower.key"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        hint = "name it: --home FOLDER" if found else "begin with fedcredit node request INSTITUTION"
        raise ConfigError("--home", found=f"{names} under {home()}", expected="one node", hint=hint)
    return NodeHome(found[0].resolve())
