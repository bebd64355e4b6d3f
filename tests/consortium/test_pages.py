"""The quick path of server/README.md and clients/README.md is typed as it stands, each party in a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.superlink_files import QUIET
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "server" / "README.md", ROOT / "clients" / "README.md")
STEP = re.compile(
    r"<!-- quick (\d+), (platform|institution|operator)(, stays)? -->\n<!-- long -->\n```console\n(.*?)```", re.DOTALL
)
# What the pages tell a reader to put in the place of what stands there.
NAMES = ("harbour-bank", "river-bank", "hill-bank", "lake-bank")
MADE_UP = "1f2e 3d4c 5b6a 7988"
ADDRESS = "127.0.0.1:8443"
FOUR = ("request", "join", "check", "start")


@dataclass(frozen=True)
class Step:
    """One block of the quick path: whose it is, what they type, and whether the last command stays in its terminal."""

    number: int
    party: str
    stays: bool
    commands: tuple[str, ...]


def steps() -> list[Step]:
    """The blocks of both pages, in the order of their numbers."""
    found = []
    for page in PAGES:
        for number, party, stays, text in STEP.findall(page.read_text(encoding="utf-8")):
            lines = text.strip().splitlines()
            assert all(line.startswith("$ ") for line in lines), f"{page}: step {number} has a line without a command"
            found.append(Step(int(number), party, bool(stays), tuple(line[2:] for line in lines)))
    return sorted(found, key=lambda step: step.number)


@dataclass
class Machine:
    """An empty folder, and a terminal of each party in it."""

    folder: Path
    address: str
    fingerprint: str = ""
    said: dict[str, str] = field(default_factory=dict)
    staying: list[subprocess.Popen[bytes]] = field(default_factory=list)
    homes: dict[str, str] = field(default_factory=dict)

    def type(self, command: str, *, party: str, stays: bool = False) -> None:
        """What happens when the party types the command; an exit code other than 0 fails the test."""
        command = command.replace(ADDRESS, self.address).replace(MADE_UP, self.fingerprint or MADE_UP)
        if command.startswith("export FEDCREDIT_HOME="):
            self.homes[party] = command.removeprefix("export FEDCREDIT_HOME=").replace("$PWD", str(self.folder))
            return
        if stays:
            with (self.folder / f"{party}.log").open("ab") as log:
                shell = ["bash", "-c", f"exec {command}"]
                self.staying.append(
                    subprocess.Popen(shell, cwd=self.folder, env=self._terminal(party), stdout=log, stderr=log)
                )
            return
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._terminal(party),
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.said[f"{party}: {command}"] = done.stdout
        if found := re.search(r"fingerprint of trial.*\n\s+((?:[0-9a-f]{4} ?){4})", done.stderr):
            self.fingerprint = found[1].strip()
        assert done.returncode == 0, f"{party}: {command}\n{done.stdout}{done.stderr}"

    def heard(self, party: str, words: str) -> str:
        """What the party's command with these words printed."""
        (said,) = (text for command, text in self.said.items() if command.startswith(f"{party}: ") and words in command)
        return said

    def wait_until_it_answers(self) -> None:
        """What a person does who starts servers: looks until they are there."""
        give_up = time.monotonic() + 120
        look = ["bash", "-c", "fedcredit consortium status"]
        while subprocess.run(look, env=self._terminal("platform"), capture_output=True, check=False).returncode:
            assert time.monotonic() < give_up, (self.folder / "platform.log").read_text()
            time.sleep(0.3)

    def is_over(self) -> bool:
        """Whether what stayed has ended by itself."""
        return all(process.wait(60) == 0 for process in self.staying)

    def clear(self) -> None:
        """End whatever a failed test has left."""
        for name in NAMES:
            if name in self.homes:
                stop = ["bash", "-c", "fedcredit node stop"]
                subprocess.run(stop, env=self._terminal(name), capture_output=True, check=False)
        for process in self.staying:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)

    def _terminal(self, party: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, **QUIET, "PATH": path, "FEDCREDIT_HOME": self.homes[party]}


@contextmanager
def machine_in(folder: Path) -> Iterator[Machine]:
    """The machine; nothing runs on it afterwards."""
    machine = Machine(folder, f"127.0.0.1:{free_port()}")
    try:
        yield machine
    finally:
        machine.clear()


@pytest.fixture(autouse=True)
def own_home() -> None:
    """These parties have homes of their own: the consortium of this folder's other tests is not needed."""


def test_the_quick_path_has_every_step_once_and_the_four_commands_of_an_institution() -> None:
    path = steps()
    assert [step.number for step in path] == list(range(1, 11))
    typed = [command for step in path if step.party == "institution" for command in step.commands]
    verbs = [words[2] for words in map(str.split, typed) if words[0] == "fedcredit"]
    assert [verb for verb in verbs if verb in FOUR] == list(FOUR)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_who_types_the_quick_path_gets_four_institutions_and_a_study(tmp_path: Path) -> None:
    with machine_in(tmp_path) as machine, ThreadPoolExecutor(len(NAMES)) as people:
        for step in steps():
            if step.party == "institution":
                list(people.map(lambda number, step=step: one_institution(machine, step, number=number), range(4)))
                continue
            for number, command in enumerate(step.commands, 1):
                stays = step.stays and number == len(step.commands)
                machine.type(command, party=step.party, stays=stays)
                if stays:
                    machine.wait_until_it_answers()
        assert machine.is_over()
    status = machine.heard("platform", "consortium status")
    assert [line.split()[-1] for line in status.splitlines() if line.split()[0] in NAMES] == ["online"] * 4
    assert machine.heard("operator", "study status").startswith("succeeded, 1 of 1")
    assert re.search(r"federated +fedsgd +test +eps 3 +0\.\d+ \[", machine.heard("operator", "study run"))
    for name in NAMES:
        checks = machine.heard(name, "node check").splitlines()
        assert len(checks) > 12
        assert all(line.startswith("ok ") for line in checks)
        assert "nothing is lost" in machine.heard(name, "node verify")
        ledger = machine.heard(name, "node ledger")
        assert float(re.findall(r"lifetime epsilon ([0-9.]+) ", ledger)[0]) <= 3.0
        assert "ceiling 8" in ledger
        assert re.search(r"train\.masked +5 x", machine.heard(name, "node leaves --run"))
        leaves = machine.heard(name, "node leaves quickstart")
        assert "not sent in this study: evaluate, query.counts, query.masked, train" in leaves
        assert machine.heard(name, "node stop").startswith("stopped process")


def one_institution(machine: Machine, step: Step, *, number: int) -> None:
    """The step, typed by one of the four: its own name for harbour-bank, and its own synthetic rows."""
    for command in step.commands:
        own = command.replace(NAMES[0], NAMES[number]).replace("--synthetic 1", f"--synthetic {number + 1}")
        machine.type(own, party=NAMES[number])
