"""The installed server/ and configs/ become the Flower app bundle that a run names: intent and coordinator, no client.

The same files give the same bytes, so its hash is what a consortium's manifest allows. `clientapp` names the code that
every institution has installed; the bundle does not hold it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from flwr.cli.build import build_fab_from_files

import configs
import server
from fedcredit.trust.bundle import check_bundle

PUBLISHER, NAME = "fedcredit", "fedcredit-study"
PYPROJECT = """\
[project]
name = "{name}"
version = "{version}"
license = "Apache-2.0"
dependencies = ["flwr"]
[tool.flwr.app]
publisher = "{publisher}"
[tool.flwr.app.components]
serverapp = "server.deployed:app"
clientapp = "clients.app:app"
[tool.flwr.app.config]
order = ""
champion = ""
order-sha256 = ""
order-certificate = ""
order-signature = ""
"""


@dataclass(frozen=True)
class Bundle:
    """The bytes of a Flower app bundle and their hash."""

    content: bytes
    sha256: str
    name: str
    version: str


@lru_cache(maxsize=1)
def bundle() -> Bundle:
    """The bundle of what is installed here."""
    ours = version("fedcredit")
    files: dict[str, bytes | Path] = {
        "pyproject.toml": PYPROJECT.format(name=NAME, version=ours, publisher=PUBLISHER).encode()
    }
    for package, pattern in ((server, "**/*.py"), (configs, "**/*.yaml"), (configs, "*.py")):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.glob(pattern)):
            files[f"{root.name}/{path.relative_to(root).as_posix()}"] = path
    content, _ = build_fab_from_files(files)
    digest = hashlib.sha256(content).hexdigest()
    check_bundle(content, sha256=digest, allowed=[digest])
    return Bundle(content, digest, f"{PUBLISHER}/{NAME}", ours)
