"""Messages on a pipe become replies of the ClientApp: the node's one process that holds rows and models.

It is started once and stays warm: importing torch takes longer than many a round. Where it dies, the node answers with
a code and starts another; what must survive (ledger, masks, rounds) was on disk before it mattered.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any

from flwr.app import Context, Message, RecordDict

from clients.wire import be_task, pack, unpack

log = logging.getLogger(__name__)

HEAD = struct.Struct(">Q")
LOOK_SECONDS = 0.2
MAX_FRAME_BYTES = 256 * 1024 * 1024


def read_frame(pipe: socket.socket) -> bytes | None:
    """The next frame, or None where the other side has gone."""
    head = _read(pipe, HEAD.size)
    if head is None:
        return None
    (size,) = HEAD.unpack(head)
    return _read(pipe, size) if size <= MAX_FRAME_BYTES else None


def write_frame(pipe: socket.socket, data: bytes) -> None:
    """Send one frame: its length, then its bytes."""
    pipe.sendall(HEAD.pack(len(data)))
    pipe.sendall(data)


def _read(pipe: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        count = pipe.recv_into(view[got:])
        if not count:
            return None
        got += count
    return bytes(data)


def main() -> None:
    """Answer one message after the other until the node closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which closes the pipe
    _live_no_longer_than(os.getppid())
    pipe = socket.socket(fileno=int(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    facts: dict[str, Any] = json.loads(read_frame(pipe) or b"{}")
    _warm_up()
    write_frame(pipe, b"ready")
    while (frame := read_frame(pipe)) is not None:
        message = unpack(frame)
        run, node = message.metadata.run_id, message.metadata.dst_node_id
        be_task(run=run, node=node)
        context = Context(run, node, node_config=facts, state=RecordDict(), run_config={})
        write_frame(pipe, pack(_reply(message, context)))


def _reply(message: Message, context: Context) -> Message:
    """The ClientApp's reply. It answers its own faults by a code; what it has no handler for is answered here."""
    from clients.app import app
    from clients.consent import record_fault
    from clients.egress import refusal

    try:
        return app(message, context)
    except Exception:
        log.exception("a message that the ClientApp does not take")
        return refusal(record_fault("internal", message, context, is_refusal=False), message)


def _live_no_longer_than(node: int) -> None:
    """End with the node, even in a long training step: the next node starts a worker of its own on the same ledger."""

    def watch() -> None:
        while os.getppid() == node:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _warm_up() -> None:
    """One step of a tiny model: torch imports much of itself when it first trains, which takes a second or two."""
    import torch

    import clients.app  # noqa: F401 - with all that it needs

    torch.set_num_threads(1)
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.zeros(1, 2)).sum().backward()
    optimizer.step()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
