"""A consortium's `consortium.yaml` becomes its settings, and its folder the places of its files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from fedcredit.errors import ConfigError
from fedcredit.privacy.account import home
from fedcredit.strict import build
from fedcredit.trust.files import write_whole
from fedcredit.trust.joining import Role
from fedcredit.trust.words import checked_address, checked_name, host_of

MAX_SETTINGS_BYTES = 64 * 1024
LONGEST = 3650  # days
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """What a consortium is called and where it is reached.

    require_pq: whether a link without X25519MLKEM768 is refused. manifest_days: after so many days without a new
    version every node stops, so that a platform that was cut off, or taken over and silent, does not go on for ever.
    scoring: where `fedcredit serve score` listens, on loopback; members then reach it at /v1/score by the gateway.
    """

    name: str
    gateway: str
    require_pq: bool = True
    manifest_days: int = 90
    certificate_days: int = 365
    join_days: int = 14
    scoring: str = ""
    schema: int = 1

    def __post_init__(self) -> None:
        checked_name(self.name, where="name")
        checked_address(self.gateway, where="gateway")
        if self.scoring and host_of(checked_address(self.scoring, where="scoring")) not in LOOPBACK:
            raise ConfigError("scoring", found=self.scoring, expected="an address on loopback, such as 127.0.0.1:8790")
        for name in ("manifest_days", "certificate_days", "join_days"):
            if not 0 < getattr(self, name) <= LONGEST:
                raise ConfigError(name, found=str(getattr(self, name)), expected=f"1 to {LONGEST} days")

    @property
    def server_name(self) -> str:
        """What the gateway's certificate is for."""
        return host_of(self.gateway)


@dataclass(frozen=True)
class Places:
    """Where the files of a consortium are, in its folder."""

    folder: Path

    @property
    def settings(self) -> Path:
        """The settings."""
        return self.folder / "consortium.yaml"

    @property
    def authority(self) -> Path:
        """Folder of the X.509 authority: ca.key and ca.crt."""
        return self.folder / "authority"

    @property
    def old_authority(self) -> Path:
        """Folder of the authority that is being replaced."""
        return self.folder / "authority.old"

    @property
    def officers(self) -> Path:
        """Folder of those officers' keys that lie here."""
        return self.folder / "officers"

    @property
    def manifest(self) -> Path:
        """The manifest in force."""
        return self.folder / "manifest.json"

    @property
    def history(self) -> Path:
        """Folder of every version of the manifest."""
        return self.folder / "manifests"

    @property
    def pending(self) -> Path:
        """The next version, while it is short of signatures."""
        return self.folder / "pending.json"

    @property
    def answers(self) -> Path:
        """Folder of the .fcjoin files that were made."""
        return self.folder / "answers"

    @property
    def certificates(self) -> Path:
        """Folder of the certificates that were issued, by SHA-256."""
        return self.folder / "certificates"

    def answer(self, name: str, *, role: Role) -> Path:
        """The file of one answer; an operator may be called as an institution is."""
        folder = self.answers if role == "institution" else self.answers / "operators"
        return folder / f"{name}.fcjoin"

    def version(self, version: int) -> Path:
        """The file of one version of the manifest."""
        return self.history / f"{version:06d}.json"


def default_folder() -> Path:
    """Where a consortium is unless `--home` says otherwise."""
    return home() / "consortium"


def read_settings(places: Places) -> Settings:
    """The settings in the folder. Raises ConfigError if there are none, or not such."""
    path = places.settings
    try:
        if path.stat().st_size > MAX_SETTINGS_BYTES:
            raise ConfigError(path.name, found="a larger file", expected=f"at most {MAX_SETTINGS_BYTES} bytes")
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "--home",
            found=f"no {path.name} in {places.folder}",
            expected="a consortium's folder",
            hint="fedcredit consortium init NAME --gateway HOST:PORT --officers a,b,c --threshold 2",
        ) from None
    except (ValueError, yaml.YAMLError):
        raise ConfigError(path.name, found="another format", expected="YAML") from None
    return build(Settings, raw, where=path.name)


def write_settings(places: Places, settings: Settings) -> None:
    """Write the settings, whole or not at all."""
    text = yaml.safe_dump(asdict(settings), allow_unicode=True, sort_keys=False)
    write_whole(places.settings, text.encode())
