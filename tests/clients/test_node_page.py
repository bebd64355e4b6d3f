"""clients/README.md is tried from its first command to its last, with a real consortium on the other side."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clients.home import home_of
from tests.clients.test_join_journey import NAME, gateway, platform
from tests.ports import free_port
from tests.test_readme import Block, blocks, try_commands, write_tables

PAGE = Path(__file__).resolve().parents[2] / "clients" / "README.md"
MADE_UP = "1f2e 3d4c 5b6a 7988"  # the fingerprint that the page shows


def verbs(block: Block) -> list[str]:
    return [words[2] for words, _ in block.commands if words[0] == "fedcredit"]


def test_the_page_has_every_command_that_it_promises() -> None:
    shown = {verb for block in blocks(PAGE, "console") for verb in verbs(block)}
    assert shown >= {"request", "join", "data", "check", "start", "status", "stop", "leave"}


def test_no_page_of_an_operator_has_a_fingerprint_that_could_be_copied() -> None:
    assert set(re.findall(r"\b[0-9a-f]{4} [0-9a-f]{4} [0-9a-f]{4} [0-9a-f]{4}\b", PAGE.read_text())) == {MADE_UP}


@pytest.mark.slow
def test_every_block_of_the_page_does_what_it_says(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path)
    home, address = own_home / "consortium", f"127.0.0.1:{free_port()}"
    platform(home, "init", "pearl-river", "--gateway", address, "--officers", "li,wang", "--threshold", 2)
    fingerprint = platform(home, "members")["fingerprint"][:16]
    tried = []
    for block in blocks(PAGE, "console"):
        if block.is_long:  # needs a SuperLink: tests/journey runs those
            continue
        if "join" in verbs(block):
            platform(home, "approve", f"{NAME}.fcreq")
        here = Block(False, block.language, block.text.replace(MADE_UP, fingerprint))
        if "check" in verbs(block):
            with gateway(home, address):
                try_commands(here, capsys, more=[])
        else:
            try_commands(here, capsys, more=[])
        tried += verbs(block)
    assert tried == ["request", "join", "data", "build", "data", "check", "leave"]
    assert json.loads(home_of(NAME).manifest.read_text())["kind"] == "manifest"
