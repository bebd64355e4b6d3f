"""The benchmark of scoring gives each figure that the issue asks for, on a few companies."""

from __future__ import annotations

import pytest
import torch

from experiments.benchmarks import scoring


def test_figures_of_a_few_companies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "TEACHERS", 150)
    threads = torch.get_num_threads()
    try:
        # Sixty companies take milliseconds: one pause of the machine would be most of a single run.
        found = scoring.figures(companies=60, runs=3)
    finally:
        torch.set_num_threads(threads)
    assert found["companies"] == 60
    assert found["batch_per_s"] > 100
    assert found["table_per_s"] > 10
    assert 0 < found["reasons_120k_s"] < 120_000
    assert {"batch_cpu_s", "table_cpu_s", "reasons_cpu_s", "batch_load"} <= set(found)
