"""A command as a person types it becomes its result: run here, told with its words, a refusal as a value."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from fedcredit.__main__ import main
from fedcredit.errors import RunError

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Typed:
    """What a command gave back: its exit code, and what `--json` printed."""

    command: str
    code: int
    said: dict[str, Any]


@dataclass
class Keyboard:
    """Types commands of `fedcredit` one after another; `typed` is all of them so far.

    They run in this process, so that torch and MLflow are imported once and not twenty times.
    """

    tell: Tell
    typed: list[Typed] = field(default_factory=list)

    def type(self, line: str, *, may_refuse: bool = False, has_json: bool = True) -> dict[str, Any]:
        """The result of a command; of one that `may_refuse`, the refusal, whose exit code is 3.

        Raises:
            RunError: it failed, did not refuse where it should, or refused where it should not.
        """
        self.tell(f"$ fedcredit {line}")
        words = shlex.split(line) + (["--json"] if has_json else [])
        out, err, code = io.StringIO(), io.StringIO(), 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main(words)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        said = json.loads(out.getvalue()) if has_json and out.getvalue().strip() else {}
        self.typed.append(Typed(f"fedcredit {line}", code, said))
        if code != (3 if may_refuse else 0):
            last = json.dumps(said, ensure_ascii=False) if said else err.getvalue()
            found = f"exit code {code}: {last.strip()[-500:]}"
            raise RunError(f"fedcredit {line}", found=found, expected="a refusal" if may_refuse else "its result")
        return said
