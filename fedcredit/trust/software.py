"""The packages that are installed here become names, versions and digests that two machines can compare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution

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


def record_sha256(one: Distribution) -> str:
    """SHA-256 of the lines of the installed RECORD file that the wheel brought, sorted.

    RECORD has the SHA-256 of every file of a package. The lines that an installer adds are left out (scripts with the
    path of their interpreter, compiled files, its own notes), so two machines with the same wheel agree, and a changed
    file that RECORD does not know of is not seen. An editable install is another thing than the wheel.
    """
    lines = (one.read_text("RECORD") or "").splitlines()
    brought = [line for line in lines if line and not _is_by_the_installer(line.rsplit(",", 2)[0])]
    return hashlib.sha256("\n".join(sorted(brought)).encode()).hexdigest()


def _is_by_the_installer(path: str) -> bool:
    path = path.strip('"')
    own = ".dist-info/" in path and path.rpartition("/")[2] in BY_THE_INSTALLER
    return own or path.startswith(("..", "/")) or path.endswith(".pyc")
