"""The packages that are installed here become names, versions and digests that two machines can compare."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.trust.entries import Package

NAMED = ("fedcredit", "flwr", "torch", "cryptography", "opacus")
BY_THE_INSTALLER = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")


def installed(names: Sequence[str] = NAMED) -> list[Package]:
    """Those of the packages that are installed."""
    found = []
    for name in names:
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        found.append(Package(name, one.version, record_sha256(one)))
    return found


def in_wheels(folder: Path, names: Sequence[str] = NAMED) -> list[Package]:
    """Those of the packages whose wheels lie in the folder, with the wheels' names and hashes.

    Raises:
        ConfigError: two wheels of one package, or a file that is no wheel.
    """
    found: dict[str, Package] = {}
    for path in sorted(folder.glob("*.whl")):
        name, version = [*path.name.split("-"), ""][:2]
        name = name.replace("_", "-").lower()
        if name not in names:
            continue
        if name in found:
            raise ConfigError(str(folder), found=f"two wheels of {name}", expected="one")
        try:
            with zipfile.ZipFile(path) as wheel:
                (record,) = [
                    one for one in wheel.namelist() if one.endswith(".dist-info/RECORD") and one.count("/") == 1
                ]
                text = wheel.read(record).decode("utf-8")
        except (OSError, ValueError, zipfile.BadZipFile) as fault:
            raise ConfigError(path.name, found=type(fault).__name__, expected="a wheel") from None
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[name] = Package(name, version, _brought_sha256(text), path.name, digest)
    return [found[name] for name in names if name in found]


def record_sha256(one: Distribution) -> str:
    """SHA-256 of the lines of the installed RECORD file that the wheel brought, sorted.

    RECORD has the SHA-256 of every file of a package. The lines that an installer adds are left out (scripts with the
    path of their interpreter, compiled files, its own notes), so two machines with the same wheel agree, and a changed
    file that RECORD does not know of is not seen. An editable install is another thing than the wheel.
    """
    return _brought_sha256(one.read_text("RECORD") or "")


def _brought_sha256(record: str) -> str:
    lines = record.splitlines()
    brought = [line for line in lines if line and not _is_by_the_installer(line.rsplit(",", 2)[0])]
    return hashlib.sha256("\n".join(sorted(brought)).encode()).hexdigest()


def _is_by_the_installer(path: str) -> bool:
    path = path.strip('"')
    own = ".dist-info/" in path and path.rpartition("/")[2] in BY_THE_INSTALLER
    return own or path.startswith(("..", "/")) or path.endswith(".pyc")
