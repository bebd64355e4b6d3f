"""`fedcredit model demo`: from a study to a grade at an institution, on this machine, on synthetic companies."""

from __future__ import annotations

import json
from typing import Any

from experiments.decision.plan import lines, plan
from experiments.decision.walk import walk
from experiments.demo.program import conduct, options, tell


def main() -> None:
    """The command."""
    asked = options("fedcredit model demo", about=__doc__)
    asked.add_argument("--dry-run", action="store_true", help="say what it would do; do none of it")
    said = asked.parse_args()
    if said.dry_run:
        told = plan(said.folder)
        print(json.dumps(told, ensure_ascii=False) if said.json else "\n".join(lines(told)))  # noqa: T201
        return
    conduct(said, lambda folder: walk(folder.resolve(), tell=tell), text=_text)


def _text(result: dict[str, Any]) -> str:
    back, node = result["rolled_back"], result["node"]
    return (
        f"{result['model']}: version {back['version']} is champion after {len(result['history'])} lines of history; "
        f"the service and the node give {node['company']} {node['grade']}\n"
        f"{result['seconds']:.0f} s, {result['commands']} commands; rollback {back['seconds']:.2f} s (synthetic rows)"
    )


if __name__ == "__main__":
    main()
