"""An empty folder becomes a champion that was promoted, asked, challenged, rolled back and sent: the whole way."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.decision.champion import IN_FORCE, approved, calibrated, promoted, refused, rolled_back, validated
from experiments.decision.companies import body_of, write_companies
from experiments.decision.node import give_study_rows, published, scored_at_node, starting
from experiments.decision.service import Asked, served
from experiments.decision.typed import Keyboard, Tell
from experiments.demo.found import OFFICERS, found, home_in

STUDY, MODEL = "quickstart", "fedcredit-quickstart"
RUN = f"runs/{STUDY}/latest"
ECONOMY = {"companies": 5000, "months": 6, "institutions": 5, "seed": 1}
SETTINGS = (
    *(f"data.economy.{name}={value}" for name, value in ECONOMY.items()),
    *("data.length=6", "arms=[federated]", "seeds=[0]", "recipe.rounds=12", "workers=1", "targets=[]"),
    *("evaluation.splits=[validation,test]", "evaluation.draws=100"),  # PDs are fitted to validation rows
)
INSTITUTION, TABLE, COMPANIES = "bank-01", "companies.csv", 60
KEYS = tuple(f"consortium/officers/{name}.key" for name in OFFICERS[:2])
SHARE = 0.5  # of companies that the challenger answers
MISTYPED = 0.5
GATES = Path(__file__).with_name("gates.yaml")


def walk(folder: Path, *, tell: Tell) -> dict[str, Any]:
    """Walk it in the folder, where everything that comes of it lies; what came of it, with seconds."""
    began = time.perf_counter()
    keyboard, told = Keyboard(tell), dict[str, Any]()
    with home_in(folder), _inside(folder):
        tell(f"a consortium with officers {', '.join(OFFICERS)}; its platform and a node of {INSTITUTION} start")
        founded = found(folder, [INSTITUTION], study=STUDY)
        give_study_rows(founded, STUDY, SETTINGS)
        with starting(founded) as processes:
            trained = _train(keyboard)
            told |= _first_champion(keyboard, trained)
            keyboard.type("serve key")
            token = keyboard.type(f"serve token --role institution --name {INSTITUTION}")["token"]
            with served(f"serve score --model {MODEL} --port 0 --challenger-share {SHARE}", tell=tell) as at:
                asked = Asked(at, token, tell)
                company, told["scored"] = _ask(keyboard, asked)
                told |= _challenge(keyboard, trained, asked, company)
                tell("\nThe champion before it is champion again, at once:")
                told["rolled_back"] = rolled_back(keyboard, MODEL, asked=asked)
                told["service"] = asked.post("/score", "company.json", company)
                del told["service"]["reasons"]  # those of before
            tell("\nThe champion travels to the institution's node, which scores its companies where they are:")
            told["kept"] = published(keyboard, processes, MODEL)
            told["node"] = scored_at_node(keyboard, founded.nodes[INSTITUTION].folder, TABLE, company["company"])
        history = keyboard.type(f"model history {MODEL} --verify")
    told["history"] = [entry["event"] for entry in history["entries"]]
    tell(f"  {' '.join(told['history'])}")
    seconds = round(time.perf_counter() - began, 1)
    return {"model": MODEL, **told, "commands": len(keyboard.typed), "seconds": seconds, "folder": str(folder)}


def _train(keyboard: Keyboard) -> str:
    keyboard.tell("\nA federated study of synthetic companies at five banks, under epsilon 3:")
    keyboard.type(f"study run {STUDY} {shlex.join(SETTINGS)}")
    return f"models:/{MODEL}/1"


def _first_champion(keyboard: Keyboard, trained: str) -> dict[str, Any]:
    keyboard.tell("\nIts scores become PDs on the master scale, and what is known of it a validation file:")
    version = calibrated(keyboard, trained, run=RUN, out="first", method="temperature")
    figures = validated(keyboard, version)
    keyboard.tell("\nTwo officers sign the gates, and then the promotion:")
    Path("gates.yaml").write_bytes(GATES.read_bytes())
    signed = " ".join(f"--key {key}" for key in KEYS)
    keyboard.type(f"model gates init {MODEL} --consortium consortium --gates gates.yaml {signed}")
    approved(keyboard, version, keys=KEYS)
    return {"figures": figures, "promoted": promoted(keyboard, version)}


def _ask(keyboard: Keyboard, asked: Asked) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body about one company, and the answer with its grade and reasons."""
    keyboard.tell("\nAn institution asks about a company, with the reasons in English:")
    said = " ".join(f"--{name} {value}" for name, value in ECONOMY.items())
    keyboard.type(f"data economy economy {said}")
    champion = asked.get(IN_FORCE)["champion"]
    names = [one["name"] for one in champion["indicators"]]
    rows = write_companies(Path("economy"), out=Path(TABLE), institution=INSTITUTION, columns=names, most=COMPANIES)
    body = body_of(rows, str(rows["company"].iloc[0]), reasons="en")
    Path("company.json").write_text(json.dumps(body), encoding="utf-8")
    score = asked.post("/score", "company.json", body)
    keyboard.tell(f"  {score['grade']}, PD {score['pd']:.4f}, by {score['model_version']}")
    for reason in score["reasons"]["reasons"]:
        keyboard.tell(f"  {reason['text']}")
    return body, score


def _challenge(keyboard: Keyboard, trained: str, asked: Asked, company: dict[str, Any]) -> dict[str, Any]:
    keyboard.tell(f"\nA challenger, calibrated otherwise, answers for {SHARE:.0%} of the companies:")
    version = calibrated(keyboard, trained, run=RUN, out="challenger", method="beta")
    held = keyboard.type(f"model challenge {version}")["challenger"]
    asked.until(lambda told: (told["challenger"] or {}).get("version") == held["version"], path=IN_FORCE)
    companies = [{"company": f"{company['company']}-{number}", "rows": company["rows"]} for number in range(40)]
    Path("batch.json").write_text(json.dumps({"companies": companies}), encoding="utf-8")
    scores = asked.post("/score/batch", "batch.json", {"companies": companies})["scores"]
    arms = [one["arm"] for one in scores]
    keyboard.tell(f"  {arms.count('champion')} answers by the champion, {arms.count('challenger')} by the challenger")
    keyboard.tell(f"\nSomebody types {MISTYPED} for the long-run rate of {MISTYPED / 10}; that does not pass:")
    wrong = calibrated(keyboard, trained, run=RUN, out="mistyped", method="temperature", rate=MISTYPED)
    validated(keyboard, wrong)
    no = refused(keyboard, wrong)
    keyboard.tell("\nThe challenger does, over the champion in force:")
    figures = validated(keyboard, version)
    approved(keyboard, version, keys=KEYS)
    return {
        "challenger": {"version": held["version"], "answers": arms.count("challenger"), "of": len(arms)},
        "refused": no,
        "promoted_over": {**promoted(keyboard, version), "figures": figures},
    }


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """The folder is where commands are typed."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
