"""The champion in force: exchanged under load, kept when its disk goes, replaced when it fails; trials beside it."""

from __future__ import annotations

import hashlib
import http.client
import json
import math
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from fedcredit.models.files import MANIFEST, WEIGHTS
from server.promotion.desk import Desk, DeskRefused
from server.promotion.history import Promoted
from server.promotion.rollback import fallback, rollback
from server.promotion.standby import stand_by
from server.scoring.champion import Champion
from server.scoring.lineup import Lineup, Served
from server.scoring.policy import Policy
from tests.server.scoring.world import Serving, asked, history, made

SECONDS = 30.0


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.stop()


def wait_until(is_so: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for it, or fail."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.01)


def version(serving: Serving) -> str:
    """Who answers a score."""
    status, answer, _ = serving.score()
    assert status == 200, answer
    return str(answer["model_version"])


def is_by(serving: Serving, sha256: str) -> bool:
    """Whether that bundle answers."""
    return version(serving) == f"quick-{sha256[:12]}"


def health(serving: Serving) -> tuple[str, str]:
    """Status, and what stands in its way."""
    told = serving.ask("GET", "/health", role=None)[1]
    return told["status"], told["why"]


def sicken(served: Served | None) -> None:
    """Let a model that is in force give no numbers."""
    assert served is not None
    with torch.no_grad():
        for weight in served._model.parameters():
            weight.fill_(math.nan)
    served._single = served._model


class Load:
    """Threads that ask without a pause until they are stopped."""

    def __init__(self, serving: Serving, threads: int = 3) -> None:
        self.answers: list[tuple[int, str]] = []
        self._serving, self._end = serving, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        self._end.set()
        for one in self._threads:
            one.join()

    def _run(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self._serving.port, timeout=30)
        head = {"Authorization": f"Bearer {self._serving.tokens['institution']}", "Content-Type": "application/json"}
        body = json.dumps(asked())
        while not self._end.is_set():
            try:
                line.request("POST", "/score", body, head)
                answer = line.getresponse()
                self.answers.append((answer.status, json.loads(answer.read()).get("model_version", "")))
            except OSError as fault:
                self.answers.append((0, str(fault)))
        line.close()


def test_a_promotion_and_a_rollback_drop_no_request_and_take_under_two_seconds(tmp_path: Path) -> None:
    serving = Serving(tmp_path, Policy(per_second=10_000, burst=100_000)).start()
    load = Load(serving)
    champions, promotions, rollbacks = [serving.champion], list[float](), list[float]()
    try:
        for seed in (2, 3, 4):
            began = time.monotonic()
            champions.append(serving.promote(made(seed)))
            wait_until(lambda: is_by(serving, champions[-1]))
            promotions.append(time.monotonic() - began)
            began = time.monotonic()
            rollback(serving.world.desk, reason="test")
            wait_until(lambda: is_by(serving, serving.champion))
            rollbacks.append(time.monotonic() - began)
    finally:
        load.stop()
        serving.stop()
    assert {status for status, _ in load.answers} == {200}
    assert {one for _, one in load.answers} == {f"quick-{champion[:12]}" for champion in champions}
    # The quickest of three: a machine that stands still for a moment makes one of them late, and not all.
    assert min(promotions) < 2
    assert min(rollbacks) < 2


def test_a_tampered_model_is_not_served_and_the_champion_goes_on(serving: Serving) -> None:
    serving.start()
    second = serving.promote(made(2))
    wait_until(lambda: is_by(serving, second))
    third = serving.keep(made(3))
    serving.stop()
    weights = serving.desk / "bundles" / second / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    serving.start()
    assert serving.score()[0] == 503
    assert serving.ask("GET", "/health", role=None)[0] == 503
    rollback(serving.world.desk, reason="the file was changed")
    wait_until(lambda: serving.score()[0] == 200)
    assert is_by(serving, serving.champion)
    assert third


def test_without_the_desk_s_disk_the_last_champion_goes_on(serving: Serving) -> None:
    serving.start()
    shutil.move(serving.desk, serving.folder / "gone")
    wait_until(lambda: health(serving)[0] == "degraded")
    assert is_by(serving, serving.champion)
    shutil.move(serving.folder / "gone", serving.desk)
    wait_until(lambda: health(serving)[0] == "ok")


def test_a_pointer_that_was_edited_by_hand_changes_nothing(serving: Serving) -> None:
    serving.start()
    other = serving.keep(made(2))
    pointer = serving.desk / "champion.json"
    pointer.write_text(pointer.read_text().replace(serving.champion, other))
    time.sleep(0.3)
    assert is_by(serving, serving.champion)


def test_an_edited_history_is_not_followed(serving: Serving) -> None:
    serving.start()
    other = serving.keep(made(2))
    path = serving.desk / "history.jsonl"
    path.write_text(path.read_text().replace(serving.champion, other))
    wait_until(lambda: health(serving)[0] == "degraded")
    assert is_by(serving, serving.champion)


def test_a_champion_whose_scores_are_no_numbers_falls_back_and_no_request_fails(serving: Serving) -> None:
    serving.start()
    sick = serving.promote(made(2))
    wait_until(lambda: is_by(serving, sick))
    service = serving.service
    lineup = service.lineup()
    sicken(lineup.champion)
    for _ in range(5):
        status, answer, _ = serving.score()
        assert status == 200
        assert math.isfinite(answer["pd"])
        assert answer["model_version"] == f"quick-{serving.champion[:12]}"
    wait_until(lambda: serving.world.desk.champion().bundle_sha256 == serving.champion)  # type: ignore[union-attr]
    entry = list(serving.world.desk.history())[-1]
    assert (entry.event, entry.facts["reason"]) == ("fell-back", "3 scores that are no numbers")


def test_a_fall_back_that_a_busy_desk_did_not_take_is_told_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.start()
    sick = serving.promote(made(2))
    wait_until(lambda: is_by(serving, sick))
    tries: list[str] = []

    def busy_once(desk: Desk, reason: str, *, over: str | None = None) -> Promoted:
        tries.append(reason)
        if len(tries) == 1:
            raise DeskRefused(desk.name, found="another command at this desk", expected="one at a time")
        return fallback(desk, reason, over=over)

    monkeypatch.setattr("server.scoring.champion.fallback", busy_once)
    champion = serving.service.champion
    champion.fall_back(serving.service.lineup().champion, "slow")
    wait_until(lambda: serving.world.desk.champion().bundle_sha256 == serving.champion)  # type: ignore[union-attr]
    wait_until(lambda: health(serving)[0] == "ok")
    time.sleep(0.2)
    assert tries == ["slow", "slow"]
    assert [entry.facts["reason"] for entry in serving.world.desk.history() if entry.event == "fell-back"] == ["slow"]


def test_a_fall_back_while_the_desk_is_read_is_not_undone(serving: Serving) -> None:
    sick = serving.promote(made(2))

    class Interrupted(Champion):
        failing: Served | None = None

        def _found(self) -> Lineup:
            found = super()._found()
            if self.failing is not None:
                failing, self.failing = self.failing, None
                self.fall_back(failing, "slow")
            return found

    champion = Interrupted(serving.world.desk, Policy())
    assert champion.lineup is not None
    assert champion.lineup.champion.sha256 == sick
    challenger = serving.keep(made(3))
    stand_by(serving.world.desk, "challenger", challenger)  # news, so that the desk is read
    champion.failing = champion.lineup.champion
    assert champion.look() is False
    assert champion.lineup.champion.sha256 == serving.champion
    assert champion.fault == "fell back: slow"


def test_a_challenger_that_fails_while_the_desk_is_read_does_not_come_back(serving: Serving) -> None:
    class Interrupted(Champion):
        def _found(self) -> Lineup:
            found = super()._found()
            if self.lineup is not None and self.lineup.challenger is not None:
                self.retire(self.lineup.challenger, "slow")
            return found

    champion = Interrupted(serving.world.desk, Policy())
    stand_by(serving.world.desk, "challenger", serving.keep(made(2)))
    assert champion.look()
    stand_by(serving.world.desk, "shadow", serving.keep(made(3)))
    assert champion.look()
    assert champion.lineup is not None
    assert (champion.lineup.challenger, champion.lineup.shadow is not None) == (None, True)


def test_without_another_champion_a_failing_one_is_refused_not_graded(serving: Serving) -> None:
    serving.start()
    sicken(serving.service.lineup().champion)
    for _ in range(4):
        status, answer, _ = serving.score()
        assert (status, answer["code"]) == (503, "busy")
    assert health(serving) == ("degraded", "4 scores that are no numbers")


def test_a_shadow_scores_what_was_asked_and_only_differences_are_counted(serving: Serving) -> None:
    good = serving.promote(made(1, bias=-5.0))
    shadow = serving.keep(made(1, bias=-2.0))
    serving.start()
    stand_by(serving.world.desk, "shadow", shadow)
    wait_until(lambda: serving.ask("GET", "/models", role="ops")[1]["shadow"])
    for number in range(20):
        assert is_by(serving, good)
        serving.score(asked(f"company-{number}", history(sales=float(10**number))))

    def trial() -> dict[str, object]:
        return serving.ask("GET", "/models", role="ops")[1]["shadow"]["trial"]  # type: ignore[no-any-return]

    wait_until(lambda: trial()["compared"] == 40)
    assert all(int(away) > 0 for away in trial()["worse_by_notches"])  # type: ignore[attr-defined]
    assert "trial" not in serving.ask("GET", "/models")[1]["shadow"]
    serving.stop()
    kept = (serving.desk / "trials" / f"{shadow}.json").read_text()
    assert "company" not in kept
    assert sum(json.loads(kept)["notches"]) == 40


def test_a_challenger_answers_its_share_and_each_company_keeps_its_arm(tmp_path: Path) -> None:
    serving = Serving(tmp_path, Policy(challenger_share=0.5)).start()
    try:
        challenger = serving.keep(made(2))
        stand_by(serving.world.desk, "challenger", challenger)
        wait_until(lambda: serving.ask("GET", "/models")[1]["challenger"])
        companies = [asked(f"company-{number}") for number in range(60)]
        first, again = (
            [one["arm"] for one in serving.ask("POST", "/score/batch", {"companies": companies})[1]["scores"]]
            for _ in range(2)
        )
        assert first == again
        assert 15 < first.count("challenger") < 45
        by_challenger = first.index("challenger")
        answer = serving.score(companies[by_challenger])[1]
        assert answer["model_version"] == f"quick-{challenger[:12]}"

        sicken(serving.service.lineup().challenger)
        for _ in range(4):
            answer = serving.score(companies[by_challenger])[1]
            assert (answer["arm"], answer["model_version"]) == ("champion", f"quick-{serving.champion[:12]}")
        assert serving.ask("GET", "/models")[1]["challenger"] is None
    finally:
        serving.stop()


def test_two_thirds_of_a_flood_are_told_to_wait(tmp_path: Path) -> None:
    serving = Serving(tmp_path, Policy(per_second=0.01, burst=5)).start()
    try:
        answers = [serving.score() for _ in range(15)]
        refused = [one for one in answers if one[0] == 429]
        assert len(refused) == 10
        assert int(refused[-1][2]["retry-after"]) >= 1
        assert serving.ask("GET", "/models", role="ops")[0] == 200  # another token's bucket
    finally:
        serving.stop()


def test_a_bundle_that_holds_a_pickle_is_not_served(serving: Serving) -> None:
    folder = serving.desk / "bundles" / serving.champion
    content = pickle.dumps({"weights": [1.0]})
    (folder / WEIGHTS).write_bytes(content)
    lines = (folder / MANIFEST).read_text().splitlines()
    digest = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST).write_text("".join(f"{digest if WEIGHTS in one else one[:64]}{one[64:]}\n" for one in lines))
    serving.start()
    assert serving.score()[0] == 503
    assert serving.ask("GET", "/health", role=None)[1]["code"] == "no-champion"


def test_the_service_needs_no_mlflow_and_no_flower() -> None:
    code = "import server.scoring.running, sys; print([m for m in ('mlflow', 'flwr', 'duckdb') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
