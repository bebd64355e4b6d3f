"""The round on the page runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import fedcredit.privacy

PAGE = Path(fedcredit.privacy.__file__).with_name("README.md")


def test_whole_round_on_the_page_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 - our own page
