"""The manifest in force becomes one object until its file changes: it is looked at five times a second."""

from __future__ import annotations

from fedcredit.trust.manifest import Manifest
from server.consortium.home import Consortium


class Followed:
    """The manifest of a consortium, verified again whenever its file is another one."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium
        self._looks: tuple[int, int, int] | None = None
        self._manifest: Manifest | None = None

    def current(self) -> Manifest:
        """The manifest in force. Raises as `Consortium.current` does."""
        about = self._consortium.places.manifest.stat()
        looks = (about.st_mtime_ns, about.st_size, about.st_ino)
        if self._manifest is None or looks != self._looks:
            self._manifest, self._looks = self._consortium.current(), looks
        return self._manifest
