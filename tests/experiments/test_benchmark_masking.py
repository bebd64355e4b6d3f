"""The benchmark of masking runs and says what the issue asks for."""

from __future__ import annotations

import json

import pytest

from experiments.benchmarks import masking


def test_benchmark_prints_the_issues_keys(capsys: pytest.CaptureFixture[str]) -> None:
    masking.main(["--institutions", "5", "--parameters", "50", "--dropouts", "1", "--repeats", "1"])
    found = json.loads(capsys.readouterr().out)
    assert {"mask_gb_per_s", "secagg_42", "max_aggregate_error_over_clip", "machine", "commit", "repeats"} <= set(found)
    assert {"client_ms", "server_ms", "setup_client_ms", "setup_server_ms"} <= set(found["secagg_42"])
    assert 0 < found["max_aggregate_error_over_clip"] <= 2e-4
