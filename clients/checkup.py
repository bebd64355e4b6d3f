"""A node's folder becomes one line a check: ok, or what is wrong and what mends it; nothing of the rows is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from clients.facts import NodeFacts, read_facts
from clients.home import NodeHome
from fedcredit.errors import FedCreditError

AUTOMATIC = "see the node's log, and send its last lines without rows to whoever maintains it"


@dataclass(frozen=True)
class Line:
    """One check's result: what was found and, where it failed, the remedy."""

    name: str
    is_ok: bool
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        """As the command prints it.

        >>> print(Line("disk", False, "0.2 GiB free", "free 1 GiB"))
        FAIL disk: 0.2 GiB free -> free 1 GiB
        """
        return f"ok   {self.name}: {self.found}" if self.is_ok else f"FAIL {self.name}: {self.found} -> {self.remedy}"


@dataclass(frozen=True)
class Subject:
    """What is checked, and when: the folder, and the operator's facts where they could be read."""

    home: NodeHome
    facts: NodeFacts | None
    now: datetime


Check = Callable[[Subject], Iterable[Line]]


def checkup(home: NodeHome, checks: Sequence[tuple[str, Check]], *, now: datetime) -> Iterator[Line]:
    """The lines of all checks, each as soon as it is made; one that fails, or breaks, keeps no other from being made.

    An exception becomes a failed line with the error's own words and hint, or, for a fault of ours, its class.
    """
    subject = Subject(home, None, now)
    lines = _lines("node.yaml", _facts_of, subject)
    yield from lines
    if all(line.is_ok for line in lines):
        subject = replace(subject, facts=read_facts(home))
    for name, check in checks:
        yield from _lines(name, check, subject)


def need_facts(subject: Subject) -> NodeFacts:
    """The operator's facts. Raises ConfigError where node.yaml could not be read: its own line says why."""
    return subject.facts or read_facts(subject.home)


def _facts_of(subject: Subject) -> list[Line]:
    facts = read_facts(subject.home)
    return [Line("node.yaml", True, f"node of {facts.institution}")]


def _lines(name: str, check: Check, subject: Subject) -> list[Line]:
    try:
        return list(check(subject))
    except FedCreditError as fault:
        remedy = fault.hint or f"expected {fault.expected}"
        return [Line(name, False, f"{fault.where}: {fault.found}", remedy)]
    except OSError as fault:
        found = (fault.strerror or type(fault).__name__).lower()
        return [Line(name, False, found, "check the path, its permissions and the free space")]
    except Exception as fault:
        # Its text may hold a cell of the table: the class is all that is printed.
        return [Line(name, False, f"broke with {type(fault).__name__}", AUTOMATIC)]
