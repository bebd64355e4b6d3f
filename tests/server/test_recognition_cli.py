"""`fedcredit model mapping`: made by one region, signed by both, then it says what a grade is worth."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from fedcredit.credit.mapping import MappingRefused
from fedcredit.trust.envelope import SealBroken
from fedcredit.trust.keys import Identity
from server.consortium.officers import write_public
from server.recognition_cli import mapping


def test_two_regions_make_sign_show_and_use_a_mapping_at_the_command_line(tmp_path: Path) -> None:
    def run(*words: object) -> str:
        done = CliRunner().invoke(mapping, [*map(str, words)])
        assert done.exit_code == 0, done.output
        return done.stdout

    (tmp_path / "n.json").write_text(
        '{"region": "north", "grades": ["1", "2"], "companies": [900, 100], "bad": [9, 30]}'
    )
    (tmp_path / "s.json").write_text('{"region": "south", "grades": ["a", "b"], "companies": [50, 50], "bad": null}')
    signers = []
    for name, who in (("north", Identity.generate()), ("south", Identity.generate())):
        who.save(tmp_path / f"{name}.key")
        write_public(tmp_path / f"{name}.pub", who.public)
        signers += ["--signer", f"{name}={tmp_path / name}.pub"]
    file = tmp_path / "both.fcmap"
    assert "by rank" in run(
        "make",
        tmp_path / "n.json",
        tmp_path / "s.json",
        "--out",
        file,
        "--from",
        "2026-01-01",
        "--key",
        tmp_path / "north.key",
    )
    refused = CliRunner().invoke(mapping, ["show", str(file), *signers])
    assert isinstance(refused.exception, SealBroken), "one signature"
    run("sign", file, "--key", tmp_path / "south.key")
    assert json.loads(run("show", file, *signers, "--json"))["valid_from"] == "2026-01-01"
    words = ["rate", file, "--region", "north", "--grade", "2", *signers]
    assert json.loads(run(*words, "--today", "2026-05-01", "--json"))["master"] == "CC"
    late = CliRunner().invoke(mapping, [*map(str, words), "--today", "2027-05-01"])
    assert isinstance(late.exception, MappingRefused)
