"""A service that answers becomes exit code 0, one that does not 1: what a container's healthcheck asks for.

    python -m server.healthy gateway 8443
    python -m server.healthy superlink /srv/consortium/superlink/port

Standard library only, since it starts every few seconds. It proves that something listens or runs, not that it is
right: that is what `fedcredit node check` and the metrics are for.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

WAIT_SECONDS = 3.0
PROGRAMS = {"superexec": b"flower-superexec", "node": b"fedcredit"}


def listens(port: int) -> bool:
    """Whether somebody takes connections on a port of this machine's loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS).close()
    except OSError:
        return False
    return True


def port(said: str) -> int:
    """A port, or the one that a file holds; 0, where nobody listens, if there is none.

    >>> port("8443"), port("no-such-file")
    (8443, 0)
    """
    try:
        found = int(said) if said.isdigit() else int(Path(said).read_text(encoding="ascii")[:16])
    except (OSError, ValueError):
        return 0
    return found if 0 < found < 65536 else 0


def runs(program: bytes, *, processes: Path = Path("/proc")) -> bool:
    """Whether a process of this container, other than this one, has the program in its command line."""
    for path in processes.glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if program in words and b"server.healthy" not in words:
            return True
    return False


def main(words: list[str] | None = None) -> int:
    """0 if healthy: a service with a port listens there, one without a port runs."""
    said = sys.argv[1:] if words is None else words
    if len(said) == 2:
        return 0 if listens(port(said[1])) else 1
    if len(said) == 1 and said[0] in PROGRAMS:
        return 0 if runs(PROGRAMS[said[0]]) else 1
    sys.stderr.write("usage: python -m server.healthy NAME PORT-OR-FILE | superexec | node\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
