"""The node's worker as the node sees it: a question goes in, its answer or a coded error comes out."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Any

from flwr.app import Message

from clients.wire import pack, unpack
from clients.worker import read_frame, write_frame
from fedcredit.errors import FedCreditError

log = logging.getLogger(__name__)

START_SECONDS = 120.0  # importing torch from a cold disk
STOP_SECONDS = 5.0


class WorkerLost(FedCreditError):
    """The worker died, or took longer than a question may; another one is started for the next."""

    code = "worker"


class Worker:
    """One worker process, started on first use and again after it was lost. Not for several threads."""

    def __init__(self, facts: Mapping[str, Any], *, log_file: IO[Any] | int | None = None, seconds: float = 3600.0):
        self.restarts = -1
        self._facts, self._log_file, self._seconds = json.dumps(dict(facts)).encode(), log_file, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, while there is one."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it, and wait until it is warm.

        Raises:
            WorkerLost: it did not get that far; its log says why.
        """
        self.stop()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "clients.worker", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log_file,
                stderr=self._log_file,
                pass_fds=(theirs.fileno(),),
            )
        self._pipe = ours
        self.restarts += 1
        write_frame(ours, self._facts)
        if self._hear(START_SECONDS) != b"ready":
            raise self._lost("no start")

    def ask(self, message: Message) -> Message:
        """Its reply to the message.

        Raises:
            WorkerLost: there is none.
        """
        if self.pid is None:
            self.start()
        assert self._pipe is not None  # noqa: S101 - start has set it
        try:
            write_frame(self._pipe, pack(message))
        except OSError:
            raise self._lost("a closed pipe") from None
        answer = self._hear(self._seconds)
        if answer is None:
            raise self._lost("no answer")
        return unpack(answer)

    def stop(self) -> None:
        """End it: gently by closing its pipe, then by a signal."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._pipe = self._process = None

    def kill(self) -> None:
        """End it now."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    def _hear(self, seconds: float) -> bytes | None:
        assert self._pipe is not None  # noqa: S101 - start has set it
        self._pipe.settimeout(seconds)
        try:
            return read_frame(self._pipe)
        except OSError:  # a timeout, or a reset
            return None
        finally:
            self._pipe.settimeout(None)

    def _lost(self, found: str) -> WorkerLost:
        self.kill()
        return WorkerLost(
            "worker", found=found, expected="a reply", hint="see the worker's log; another one is started"
        )
