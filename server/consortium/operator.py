"""An operator's name becomes keys and a request, and the consortium's answer a profile to start studies with."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.link.authority import check_leaf, new_key_and_csr
from fedcredit.privacy.account import home
from fedcredit.strict import build
from fedcredit.trust.files import write_whole
from fedcredit.trust.joining import Environment, Join, JoinRefused, Request, read_join, write_request
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, ManifestFile
from fedcredit.trust.words import checked_address, checked_name

MAX_FILE = 64 * 1024
REQUESTS = ".requests"  # hidden: no consortium's name begins with a dot
FACTS = "operator.json"


@dataclass(frozen=True)
class Facts:
    """What an operator's profile says beside its keys: who, in which consortium, by which gateway."""

    name: str
    consortium: str
    gateway: str
    server_name: str
    schema: int = 1

    def __post_init__(self) -> None:
        checked_name(self.name, where="name")
        checked_name(self.consortium, where="consortium")
        checked_address(self.gateway, where="gateway")


@dataclass(frozen=True)
class Profile:
    """An operator in one consortium: the folder with tls.key, tls.crt, ca.crt, manifest.json and operator.json."""

    folder: Path
    facts: Facts

    @property
    def manifest(self) -> ManifestFile:
        """The manifest that this operator goes by."""
        return ManifestFile(self.folder / "manifest.json")


def profiles_folder() -> Path:
    """Where an operator's profiles are, one folder a consortium."""
    return home() / "operator"


def make_request(name: str, *, now: datetime | None = None) -> bytes:
    """The request of an operator, from keys that are made where they are not there yet and never leave.

    Raises:
        ConfigError: the name is none.
        KeyFileRefused: a key that is there cannot be read.
    """
    checked_name(name, where="NAME")
    folder = profiles_folder() / REQUESTS / name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    request = folder / "tls.csr"
    if not request.exists():
        (folder / "tls.key").unlink(missing_ok=True)  # of a run that broke off between the two
        write_whole(request, new_key_and_csr(folder / "tls.key", name=name).encode())
    if not (folder / "identity.key").exists():
        Identity.generate().save(folder / "identity.key")
    identity = Identity.load(folder / "identity.key")
    asked = Request(
        name, identity.public, request.read_text(encoding="ascii"), "", environment(folder, now=now), "operator"
    )
    return write_request(asked, by=identity)


def join(data: bytes, *, fingerprint: str, now: datetime) -> tuple[Profile, Manifest]:
    """The profile of an operator whose answer holds; it takes the place of an older one of the same consortium.

    Raises:
        SealBroken, FingerprintRefused, ManifestRefused: see `read_join`.
        JoinRefused: likewise, or the answer is to a request that was not made on this machine.
    """
    answer = read_join(data, fingerprint=fingerprint, now=now, role="operator")
    requested = profiles_folder() / REQUESTS / answer.institution
    target = profiles_folder() / answer.consortium
    keys = requested if (requested / "tls.key").is_file() else target
    if not (keys / "tls.key").is_file():
        raise JoinRefused(
            "operator join",
            found=f"no key of {answer.institution} on this machine",
            expected="the machine that made the request",
            hint=f"fedcredit consortium operator request {answer.institution}",
        )
    authority = answer.authority.split("-----END", 1)[0] + "-----END CERTIFICATE-----\n"
    check_leaf(
        answer.certificate,
        authority=authority,
        key_path=keys / "tls.key",
        role="operator",
        name=answer.institution,
        now=now,
    )
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    manifest = ManifestFile(target / "manifest.json").pin(answer.manifest, fingerprint=fingerprint, now=now)
    if keys is requested:
        for name in ("tls.key", "identity.key"):
            (requested / name).replace(target / name)
    _write(target, answer)
    if keys is requested:
        shutil.rmtree(requested)
    return Profile(target, _facts(answer)), manifest


def profiles() -> list[Profile]:
    """The operator's profiles on this machine."""
    return [_read(path.parent) for path in sorted(profiles_folder().glob(f"*/{FACTS}"))]


def profile(consortium: str | None = None) -> Profile:
    """The profile of this consortium, or the only one. Raises ConfigError if that names none."""
    found = [one for one in profiles() if consortium in (None, one.facts.consortium)]
    if len(found) != 1:
        known = ", ".join(one.facts.consortium for one in profiles()) or "none"
        raise ConfigError(
            "consortium",
            found=f"{known} under {profiles_folder()}",
            expected=consortium or "one profile",
            hint="fedcredit consortium operator request NAME, then operator join",
        )
    return found[0]


def environment(folder: Path, *, now: datetime | None = None) -> Environment:
    """What this machine is, in versions and sizes."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = [_version(name) for name in ("fedcredit", "flwr", "torch")]
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(terse=True)[:100],
        fedcredit=versions[0],
        flwr=versions[1],
        torch=versions[2],
        cpus=os.cpu_count() or 1,
        memory_gib=round(pages / 2**30, 1),
        disk_free_gib=round(shutil.disk_usage(folder).free / 2**30, 1),
        clock_utc=now or datetime.now(UTC),
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _facts(answer: Join) -> Facts:
    return Facts(answer.institution, answer.consortium, answer.gateway, answer.server_name)


def _write(folder: Path, answer: Join) -> None:
    write_whole(folder / "tls.crt", answer.certificate.encode())
    write_whole(folder / "ca.crt", answer.authority.encode())
    write_whole(folder / FACTS, json.dumps(asdict(_facts(answer)), ensure_ascii=False, indent=1).encode())


def _read(folder: Path) -> Profile:
    path = folder / FACTS
    try:
        raw = json.loads(path.read_bytes()[:MAX_FILE])
    except (ValueError, RecursionError):
        raise ConfigError(path.name, found="another format", expected="an operator's profile") from None
    return Profile(folder, build(Facts, raw, where=path.name, complete=True))
