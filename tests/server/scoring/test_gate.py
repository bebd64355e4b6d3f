"""The health gate looks at the last answers: few say nothing, many failures or slow ones do, old ones are forgotten."""

from __future__ import annotations

from server.scoring.gate import LAST, LEAST, HealthGate
from server.scoring.policy import Policy


def test_a_few_failures_say_nothing_and_many_are_named() -> None:
    gate = HealthGate(Policy(error_share=0.1))
    for _ in range(LEAST - 1):
        gate.saw(seconds=0.001, is_failed=True)
    assert gate.verdict == ""
    gate.saw(seconds=0.001, is_failed=True)
    assert gate.verdict == f"{LEAST} of {LEAST} answers failed"


def test_failures_of_long_ago_are_forgotten() -> None:
    gate = HealthGate(Policy())
    for _ in range(3):
        gate.saw(seconds=0.001, is_finite=False)
    assert gate.verdict
    for _ in range(LAST):
        gate.saw(seconds=0.001)
    assert gate.verdict == ""


def test_slow_answers_are_a_fault_from_a_twentieth_on() -> None:
    gate = HealthGate(Policy(latency_ms=10))
    for number in range(200):
        gate.saw(seconds=0.02 if number % 20 == 0 else 0.001)
    assert gate.verdict == ""
    gate.saw(seconds=0.02)
    assert gate.verdict == "11 of 201 answers took over 10 ms of computing"
