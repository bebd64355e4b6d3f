"""Requests that nobody thought of, made from the OpenAPI page by Schemathesis, meet no error of the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from server.scoring.book import ScoreBook
from server.scoring.policy import Policy
from server.scoring.running import BOOK
from tests.server.scoring.world import Serving

# A row that the page allows may lack what this champion asks for: refusing it is right.
LEFT_OUT = "positive_data_acceptance"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["institution", "auditor"])
def test_requests_made_from_the_page_meet_no_server_error(tmp_path: Path, role: str) -> None:
    pytest.importorskip("schemathesis")
    serving = Serving(tmp_path / "serving", Policy(per_second=1e6, burst=1e6))
    scores = [{"company": "known", "pd": 0.01, "grade": "BBB", "coverage": 0.9, "model_version": "quick-1"}]
    with ScoreBook(serving.desk / BOOK) as book:
        book.put(pd.DataFrame(scores))
    serving.start()
    try:
        words = ["run", f"http://127.0.0.1:{serving.port}/openapi.json", "--max-examples", "100", "--no-color"]
        words += ["-H", f"Authorization: Bearer {serving.tokens[role]}", "--exclude-checks", LEFT_OUT, "--seed", "1"]
        program = [sys.executable, "-m", "schemathesis.cli", *words]
        found = subprocess.run(
            program, cwd=tmp_path, capture_output=True, text=True, timeout=800, env={**os.environ, "COLUMNS": "200"}
        )
    finally:
        serving.stop()
    assert found.returncode == 0, found.stdout[-4000:]
    assert "generated" in found.stdout
    assert "Tested: 6" in found.stdout
