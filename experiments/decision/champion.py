"""A trained version becomes a candidate, a candidate the champion, or its refusal: the commands of each, in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from experiments.decision.service import Asked
from experiments.decision.typed import Keyboard

SHOWN = ("auc", "delta_auc", "ece", "jeffreys_p", "epsilon")
IN_FORCE = "/models"


def calibrated(keyboard: Keyboard, trained: str, *, run: str, out: str, method: str, rate: float | None = None) -> str:
    """The name of a new version: the trained model, and its scores made PDs by outcomes that it did not learn from."""
    shifted = f" --long-run-rate {rate}" if rate is not None else ""
    words = f"--predictions {run}/predictions.parquet --method {method}{shifted} --out {out}"
    said = keyboard.type(f"model calibrate {trained} {words}")
    keyboard.tell(f"  {said['defaults']} of {said['companies']} companies defaulted; {said['registered']}")
    return str(said["registered"])


def validated(keyboard: Keyboard, version: str) -> dict[str, float | None]:
    """Some figures of the version's validation file."""
    said = keyboard.type(f"model validate {version} --draws 300")
    figures = {name: said["evidence"]["figures"].get(name, {}).get("value") for name in SHOWN}
    told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items() if value is not None)
    keyboard.tell(f"  {told}\n  {said['files']['html']}")
    return figures


def approved(keyboard: Keyboard, version: str, *, keys: Sequence[str]) -> None:
    """Have the version's promotion signed by several people, each with the own key."""
    for key in keys:
        said = keyboard.type(f"model approve {version} --key {key}")
        keyboard.tell(f"  signed by {', '.join(said['signed_by'])}; {said['needed']} more needed")


def promoted(keyboard: Keyboard, version: str) -> dict[str, Any]:
    """Who is champion now."""
    said = keyboard.type(f"model promote {version}")
    keyboard.tell(f"  champion is version {said['version']}, after {said['seconds']:.2f} s")
    return {"version": said["version"], "bundle_sha256": said["bundle_sha256"], "seconds": said["seconds"]}


def refused(keyboard: Keyboard, version: str) -> dict[str, Any]:
    """What a promotion that a gate refuses says: where, what was found, what is expected."""
    said = keyboard.type(f"model promote {version}", may_refuse=True)
    keyboard.tell(f"  exit code 3: {said['where']}: found {said['found']}, expected {said['expected']}")
    return {"version": version, **{name: said[name] for name in ("code", "where", "found", "expected")}}


def rolled_back(keyboard: Keyboard, model: str, *, asked: Asked) -> dict[str, Any]:
    """Who is champion again, and the seconds from the command's start until the service answers with it."""
    began = time.perf_counter()
    said = keyboard.type(f'model rollback {model} --reason "the demo goes back"')
    answer = asked.until(lambda told: told["champion"]["bundle_sha256"] == said["bundle_sha256"], path=IN_FORCE)
    waited = time.perf_counter() - began
    keyboard.tell(f"  champion is version {said['version']} again, after {said['seconds']:.2f} s")
    return {
        "version": said["version"],
        "answers_with": answer["champion"]["version"],
        "seconds": said["seconds"],
        "command_to_answer_seconds": round(waited, 2),
    }
