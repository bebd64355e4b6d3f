"""The number in a policy's signature becomes a floor: a policy that the officer has signed since then never comes back.

The officer's signature alone says nothing of its age: whoever copies back two older files would undo a withdrawal. So
each signing counts up, and the highest number that was ever seen is kept beside the policy. Who deletes that file too
starts anew; the audit log still has the numbers.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from clients.policy import AskRefused
from fedcredit.errors import ConfigError
from fedcredit.strict import build
from fedcredit.trust.files import write_whole

MAX_HIGHEST_BYTES = 4096
LARGEST_NUMBER = 2**53 - 1  # what every JSON reader keeps whole
AGAIN = "if it is right, the officer signs it again here: fedcredit node policy sign; and ask who put it there"


@dataclass(frozen=True)
class Seen:
    """One signing: its number, and the digest of the policy's bytes."""

    number: int = 0
    sha256: str = ""
    schema: int = 1


class Highest:
    """The highest signing that was ever seen of one policy, in a file beside it."""

    def __init__(self, policy: Path) -> None:
        self.path = policy.with_name(f"{policy.stem}.highest.json")

    def known(self) -> Seen:
        """What is kept, number 0 before the first. Raises AskRefused: the file is none of ours."""
        try:
            with self.path.open("rb") as file:
                return build(Seen, json.loads(file.read(MAX_HIGHEST_BYTES)), where=self.path.name, complete=True)
        except FileNotFoundError:
            return Seen()
        except (OSError, ConfigError, ValueError, RecursionError):
            hint = "restore it from its backup; else delete it, and the officer signs the policy again"
            raise AskRefused("policy", found=f"{self.path.name}: other content", expected="ours", hint=hint) from None

    def is_new(self, seen: Seen) -> bool:
        """Whether it is higher than any. Raises AskRefused: it is lower, or another policy under the same number."""
        known = self.known()
        if seen.number < known.number:
            found, expected = f"number {seen.number}, an older one", f"number {known.number}, which was seen, or higher"
            raise AskRefused("policy", found=found, expected=expected, hint=AGAIN)
        if seen.number == known.number and seen.sha256 != known.sha256:
            found = f"another one under number {seen.number}"
            raise AskRefused("policy", found=found, expected="the one that was seen", hint=AGAIN)
        return seen.number > known.number

    def take(self, seen: Seen, *, note: Callable[[Seen], object]) -> None:
        """Keep it if it is new; `note` puts it on record first, so that none is in force that is not.

        Raises:
            AskRefused: see `is_new`; or it cannot be kept.
        """
        try:
            with self._locked():  # the node and the officer's command may come at once: it is on record once
                if self.is_new(seen):
                    note(seen)
                    write_whole(self.path, json.dumps(asdict(seen)).encode())
        except OSError as fault:
            found = f"{self.path.name}: {os.strerror(fault.errno or 0).lower()}"
            raise AskRefused("policy", found=found, expected="a file that can be written") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.path.with_name(f".{self.path.stem}.lock"), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
