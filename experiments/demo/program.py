"""A walk over this machine becomes a program: its folder, its story on stderr, its result on stdout."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedcredit.errors import FedCreditError


def options(name: str, *, about: str | None) -> argparse.ArgumentParser:
    """A parser that knows --folder and --json."""
    asked = argparse.ArgumentParser(prog=name, description=about)
    asked.add_argument("--folder", type=Path, help="keep everything there; else a folder that goes")
    asked.add_argument("--json", action="store_true", help="print the result as JSON")
    return asked


def conduct(
    said: argparse.Namespace, walk: Callable[[Path], dict[str, Any]], *, text: Callable[[dict[str, Any]], str]
) -> None:
    """Walk in the folder that was named, or in one that goes afterwards; print the result, or the refusal and leave."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # everything is stopped as by Ctrl-C
    folder = said.folder or Path(tempfile.mkdtemp(prefix="fedcredit-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result = walk(folder)
    except FedCreditError as fault:
        print(
            json.dumps(fault.as_dict()) if said.json else f"error: {fault}",
            file=sys.stdout if said.json else sys.stderr,
        )
        sys.exit(fault.exit_code)
    except KeyboardInterrupt:
        sys.exit("stopped")
    finally:
        if said.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result) if said.json else text(result))  # noqa: T201


def tell(line: str) -> None:
    """A line of the story."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
