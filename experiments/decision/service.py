"""A desk becomes a scoring service in a process of its own, and questions by HTTP become its answers."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from experiments.decision.typed import Tell
from fedcredit.errors import RunError

STOP_SECONDS = 20.0
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Asked:
    """The service at an address, and the token to ask it with."""

    at: str
    token: str
    tell: Tell

    def post(self, path: str, file: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a body, told as curl would send it from a file."""
        sent = f"-H 'Content-Type: application/json' -d @{file}"
        self.tell(f'$ curl -H "Authorization: Bearer $TOKEN" {sent} {self.at}{path}')
        return self._answer("POST", path, body)

    def get(self, path: str, *, is_told: bool = True) -> dict[str, Any]:
        """The answer to a question without a body."""
        if is_told:
            self.tell(f'$ curl -H "Authorization: Bearer $TOKEN" {self.at}{path}')
        return self._answer("GET", path, None)

    def until(self, holds: Callable[[dict[str, Any]], bool], *, path: str, most: float = 30.0) -> dict[str, Any]:
        """The first answer that is as it should be. Raises RunError: none is in time."""
        give_up = time.monotonic() + most
        while not holds(said := self.get(path, is_told=False)):
            if time.monotonic() > give_up:
                raise RunError(path, found="an answer of before", expected="another")
            time.sleep(LOOK_SECONDS)
        return said

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.request(method, self.at + path, json=body, headers=headers, timeout=30.0, trust_env=False)
        said: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise RunError(path, found=f"{answer.status_code}: {said}", expected="200")
        return said


@contextmanager
def served(line: str, *, tell: Tell) -> Iterator[str]:
    """The address of `fedcredit serve ...`, while it runs; its story is in service.log."""
    tell(f"$ fedcredit {line} &")
    words = [sys.executable, "-m", "fedcredit", *shlex.split(line), "--json"]
    with Path("service.log").open("ab") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        first = process.stdout.readline() if process.stdout else ""
        said = json.loads(first) if first else {}
        if "listening" not in said:
            raise RunError(f"fedcredit {line}", found=first.strip() or "no word", expected="its address")
        yield said["listening"]
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()  # which closes its pipe too
