"""`fedcredit model demo`: from a study to a grade at an institution, on this machine, on synthetic companies."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments.decision.walk import walk
from fedcredit.errors import FedCreditError


def main() -> None:
    """The command."""
    asked = argparse.ArgumentParser(prog="fedcredit model demo", description=__doc__)
    asked.add_argument("--folder", type=Path, help="keep everything there; else a folder that goes")
    asked.add_argument("--json", action="store_true", help="print the result as JSON")
    said = asked.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # everything is stopped as by Ctrl-C
    folder = said.folder or Path(tempfile.mkdtemp(prefix="fedcredit-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result = walk(folder.resolve(), tell=_tell)
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
    print(json.dumps(result) if said.json else _text(result))  # noqa: T201


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _text(result: dict[str, Any]) -> str:
    back, node = result["rolled_back"], result["node"]
    return (
        f"{result['model']}: version {back['version']} is champion after {len(result['history'])} lines of history; "
        f"the service and the node give {node['company']} {node['grade']}\n"
        f"{result['seconds']:.0f} s, {result['commands']} commands; rollback {back['seconds']:.2f} s (synthetic rows)"
    )


if __name__ == "__main__":
    main()
