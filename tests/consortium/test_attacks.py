"""A platform that has turned bad asks running nodes for what it must not have, and gets a word for an answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from clients.audit_log import read_log
from fedcredit.federation.messages import AGREE, DESCRIBE, KEYS, MASKED, TRAIN, Masking, PrivacyTerms, Task
from fedcredit.federation.packing import PACKED, pack
from fedcredit.models.build import ModelSettings
from fedcredit.trust.keys import Identity
from server.bundle import bundle
from server.consortium.studies import Limits
from tests.consortium.attacker import (
    Attacker,
    attacking,
    bad_bundle,
    policy,
    publish_studies,
    rule,
    superlink_of,
    wait_for,
)
from tests.consortium.world import STUDY, World, masked
from tests.federation.conftest import make_task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TERMS = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=2, rounds=3)
WITH_CLIENTS = bad_bundle(more={"clients/app.py": b"app = None\n"})
WITH_TORCH = bad_bundle(more={"torch/__init__.py": b"print('ours now')\n"})
BAD = bad_bundle()


@pytest.fixture(scope="module")
def attacker(world: World) -> Iterator[Attacker]:
    """A coordinator whose code the officers were talked into allowing; clients/ and torch/ they did not notice."""
    bundles = (bundle(), BAD, WITH_CLIENTS, WITH_TORCH)
    publish_studies(
        world,
        rule(STUDY, *bundles, limits=Limits(kinds=("logistic",))),
        rule("private", *bundles, limits=Limits(epsilon=8.0, rounds=10)),
        rule("over", *bundles, days=-1.0),
        rule("another", bundle()),
    )
    with attacking(world, BAD) as found, policy(world, "bank-a", studies='["*"]'):
        yield found
    publish_studies(world, rule(STUDY, bundle()))


def task(**settings: object) -> Task:
    """A task of the study that is allowed."""
    return make_task(**{"study": STUDY, "run": "attack", **settings})


def private(**terms: float) -> Task:
    """A task of the study that is allowed under privacy."""
    return task(study="private", run=f"private-{len(terms)}", privacy=replace(TERMS, **terms), metrics="none")


# The noise of a sum, which no institution can raise by itself.
SHARED = replace(
    private(steps=1), run="shared", privacy=replace(TERMS, steps=1, noise="distributed"), masking=masked().masking
)

# Whose code it is.


def test_an_honest_question_is_answered(attacker: Attacker) -> None:
    assert attacker.ask(task(), to="bank-a", kind=DESCRIBE) == "answered"
    assert attacker.ask(task(), to="bank-a") == "answered"


def test_a_bundle_that_is_not_in_the_manifest_gets_nothing(world: World) -> None:
    unknown = bad_bundle(more={"server/more.py": b"UNKNOWN = 1\n"})
    before = charged_and_left(world, "bank-b")
    with attacking(world, unknown) as intruder:
        for kind in (DESCRIBE, TRAIN):
            assert intruder.ask(task(), to="bank-b", kind=kind) == "bundle"
    assert charged_and_left(world, "bank-b") == before
    assert world.processes.status("bank-b")["refused"]["bundle"] == 2, "each question is counted"


@pytest.mark.parametrize("smuggled", [WITH_CLIENTS, WITH_TORCH], ids=["clients", "torch"])
def test_client_code_in_a_bundle_is_refused_though_the_officers_signed_its_hash(
    attacker: Attacker, world: World, smuggled: object
) -> None:
    with attacking(world, smuggled) as intruder:  # type: ignore[arg-type]
        assert intruder.ask(task(), to="bank-a", kind=DESCRIBE) == "bundle"


def test_code_that_is_not_allowed_does_not_run_at_the_platform(world: World) -> None:
    """An operator may submit any bundle, and the platform has keys that it must not get at."""
    bad = bad_bundle(more={"server/more.py": b"UNASKED = 1\n"})
    folder = world.founded.consortium.places.folder / "attack" / "unasked"
    folder.mkdir(parents=True)
    with superlink_of(world) as superlink:
        run = superlink.start(bad, {"order": "unasked"})
        wait_for(lambda: (state := superlink.state(run)) is not None and state.is_over, what="its end")
        state = superlink.state(run)
    assert state is not None
    assert state.sub_status == "failed"
    assert "in the signed manifest" in state.details
    assert not (folder / "ready").exists()


# What it asks.


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (task(study="none-such"), "study"),
        (task(study=""), "study"),
        (task(study="another"), "bundle"),
        (task(study="over"), "expired"),
        (task(model=ModelSettings("mlp", hidden=4)), "schema"),
        (task(study="private"), "schema"),
        (private(rounds=11), "schema"),
        (private(epsilon=9.0), "schema"),
        (task(features=("debt", "cash", "phone")), "table"),
        (private(), "answered"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_not_agreed_is_refused_by_its_word(attacker: Attacker, asked: Task, code: str) -> None:
    assert attacker.ask(asked, to="bank-a") == code


@pytest.mark.parametrize(
    ("rules", "asked", "code"),
    [
        ({"columns": "{deny: [debt]}"}, task(), "column"),
        ({"smallest_cohort": "4"}, task(), "cohort"),
        ({"require_masks": "true"}, task(), "masks"),
        ({"metrics": "none"}, task(), "exact-metrics"),
        ({"expires": "2020-01-01"}, task(), "expired"),
        ({"studies": "[private]"}, task(), "study"),
        ({"noise_floor": "1.0"}, task(), "epsilon"),
        ({"noise_floor": "50.0"}, SHARED, "noise-floor"),
        ({"epsilon": "{lifetime: 0.5}"}, private(epsilon=3.9), "budget"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_policy_forbids_is_refused_from_the_next_message_on(
    attacker: Attacker, world: World, rules: dict[str, str], asked: Task, code: str
) -> None:
    pid = world.processes.status("bank-a")["pid"]
    with policy(world, "bank-a", **{"studies": '["*"]', **rules}):
        assert attacker.ask(asked, to="bank-a") == code
    assert attacker.ask(task(), to="bank-a", kind=DESCRIBE) == "answered"
    assert world.processes.status("bank-a")["pid"] == pid


def test_noise_under_the_floor_is_raised_to_it_before_anything_is_trained(attacker: Attacker, world: World) -> None:
    home = world.founded.nodes["bank-a"]
    with policy(world, "bank-a", studies='["*"]', noise_floor="5.0"):
        assert attacker.ask(replace(private(), run="loud"), to="bank-a") == "answered"
    entries = [entry.facts for entry in read_log(home.audit_log, public=Identity.load(home.identity).public)]
    (left,) = [facts for facts in entries if facts.get("run") == "loud" and facts.get("charge")]
    (asked,) = [facts for facts in entries if facts.get("run") == "loud" and facts.get("decision")]
    assert asked["decision"] == "clamped"
    assert left["charge"]["noise"] >= 5.0


def test_a_sum_with_strangers_is_no_sum(attacker: Attacker) -> None:
    ghosts = task(run="ghosts", masking=Masking((("bank-a", "ghost-1", "ghost-2", "ghost-3"),), 16.0), metrics="none")
    assert attacker.ask(ghosts, to="bank-a") == "refused", "in the clear"
    for kind in (KEYS, MASKED):
        assert attacker.ask(ghosts, to="bank-a", kind=kind, session="s1") not in ("answered", "internal", "worker")


def test_the_kill_switch_counts_from_the_next_message_on_and_needs_no_restart(attacker: Attacker, world: World) -> None:
    home, before = str(world.founded.nodes["bank-b"].folder), world.processes.status("bank-b")
    for word, code in (("stop", "stopped"), ("resume", "answered")):
        command = [sys.executable, "-m", "fedcredit", "node", "policy", word, "--home", home]
        subprocess.run(command, check=True, capture_output=True)
        for kind in (DESCRIBE, TRAIN):
            assert attacker.ask(task(), to="bank-b", kind=kind) == code
    after = world.processes.status("bank-b")
    assert (after["pid"], after["worker_pid"]) == (before["pid"], before["worker_pid"])


# What is no question.


def arrays(data: bytes, *, shape: tuple[int, ...] = (1,), stype: str = "numpy.ndarray") -> ArrayRecord:
    """An array record that holds these bytes."""
    return ArrayRecord({"weight": Array("float32", shape, stype, data)})


JUNK = b"\x80\x04\x95" + b"\xff" * 64
GARBAGE: dict[str, tuple[str, RecordDict]] = {
    "empty": (TRAIN, RecordDict()),
    "packed-junk": (TRAIN, RecordDict({PACKED: ConfigRecord({PACKED: JUNK})})),
    "packed-text": (TRAIN, RecordDict({PACKED: ConfigRecord({PACKED: "text"})})),
    "packed-nothing": (TRAIN, RecordDict({PACKED: ConfigRecord()})),
    "no-task": (TRAIN, RecordDict({"config": ConfigRecord({"server-round": 1})})),
    "deep": (TRAIN, RecordDict({"config": ConfigRecord({"task": "[" * 100_000, "task-sha256": ""})})),
    "no-digest": (TRAIN, RecordDict({"config": ConfigRecord({"task": task().to_json()})})),
    "config-is-arrays": (TRAIN, RecordDict({"config": arrays(b"")})),
    "no-arrays": (TRAIN, pack(RecordDict({"config": task().as_config(**{"server-round": 1})}))),
    "array-junk": (TRAIN, pack(RecordDict({"config": task().as_config(), "arrays": arrays(JUNK)}))),
    "array-pickle": (TRAIN, pack(RecordDict({"config": task().as_config(), "arrays": arrays(JUNK, stype="pickle")}))),
    "array-huge": (TRAIN, pack(RecordDict({"config": task().as_config(), "arrays": arrays(JUNK, shape=(2**31 - 1,))}))),
    "round-is-text": (TRAIN, pack(RecordDict({"config": task().as_config(**{"server-round": "one"})}))),
    "no-such-kind": ("train.everything", pack(RecordDict({"config": task().as_config()}))),
    "masks-junk": (AGREE, pack(RecordDict({"config": task().as_config(session="s", secagg="no bytes")}))),
}


@pytest.mark.parametrize("name", list(GARBAGE))
def test_garbage_is_answered_by_a_code_and_the_node_lives(attacker: Attacker, world: World, name: str) -> None:
    kind, content = GARBAGE[name]
    before = world.processes.status("bank-c")
    assert attacker.code(content, to="bank-c", kind=kind) not in ("answered", "worker")
    assert attacker.ask(task(), to="bank-c", kind=DESCRIBE) == "answered"
    after = world.processes.status("bank-c")
    assert (after["pid"], after["worker_pid"]) == (before["pid"], before["worker_pid"])


def test_a_message_of_sixty_five_megabytes_is_not_taken_and_the_node_lives(attacker: Attacker, world: World) -> None:
    pid = world.processes.status("bank-c")["pid"]
    pad = RecordDict({"config": task().as_config(pad="x" * (65 * 1024 * 1024))})
    assert attacker.code(pad, to="bank-c") == "node"
    assert attacker.ask(task(), to="bank-c", kind=DESCRIBE) == "answered"
    assert world.processes.status("bank-c")["pid"] == pid


def charged_and_left(world: World, name: str) -> tuple[int, int]:
    """How large the institution's ledger is, and what its audit log says has left; refusals are on record there too."""
    home = world.founded.nodes[name]
    log = home.audit_log.read_text(encoding="utf-8") if home.audit_log.exists() else ""
    return home.ledger.stat().st_size if home.ledger.exists() else 0, log.count('"event":"left"')
