"""A task that SuperExec was given becomes a running coordinator, if the consortium has allowed the code in its bundle.

An operator submits a bundle, and Flower would run whatever is in it: at the platform, beside the consortium's keys. So
SuperExec finds this in the place of `flwr-serverapp`, and no other of Flower's programs for tasks. A private name of
flwr is used here.
"""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from flwr.superlink.cli.flwr_serverapp import flwr_serverapp

from fedcredit.trust.bundle import check_bundle
from fedcredit.trust.manifest import ManifestFile
from server.superlink_files import CONSORTIUM


def require_allowed(content: bytes, *, home: Path) -> None:
    """Return if the bundle is one of a study that is not over, by the manifest in force.

    Raises:
        BundleRefused, ManifestRefused: it is not, or the manifest does not hold.
    """
    now = datetime.now(UTC)
    manifest = ManifestFile(home / "manifest.json").read(now=now)
    allowed = {digest for rule in manifest.studies if now < rule.until for digest in rule.bundles}
    check_bundle(content, sha256=hashlib.sha256(content).hexdigest(), allowed=allowed)


def main() -> None:
    """What `flwr-serverapp` does, with nothing unpacked that is not allowed."""
    runtime = import_module("flwr.superlink.runtime.run_serverapp")  # its package has a function of the same name
    unpack, home = runtime.install_from_fab, Path(os.environ[CONSORTIUM])

    def unpack_allowed(content: bytes, *said: Any, **more: Any) -> Any:
        require_allowed(content, home=home)
        return unpack(content, *said, **more)

    runtime.__dict__.update(install_from_fab=unpack_allowed)
    sys.argv[0] = "flwr-serverapp"
    flwr_serverapp()


if __name__ == "__main__":
    main()
