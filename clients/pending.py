"""The question under way becomes a note on disk: after a kill the platform hears a code, and not nothing for hours.

Flower hands a question out once. Whoever dies over it owes its reply as long as the message lives, half a day; and an
institution that owes one is not asked again in that run.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.trust.files import write_whole

log = logging.getLogger(__name__)


class Pending:
    """The one question that a node has taken and not answered yet, as bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def left(self) -> bytes | None:
        """What an earlier process of this node has not answered, if anything; it is forgotten with that."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        finally:
            self._path.unlink(missing_ok=True)

    @contextmanager
    def noted(self, question: bytes) -> Iterator[None]:
        """Note the question until the block is left; where that ends the node, as SIGTERM does, the note stays."""
        try:
            write_whole(self._path, question)
        except OSError as fault:  # a full disk: the question itself is answered with what that means
            log.warning("a question is not noted: %s", fault)
        yield
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
