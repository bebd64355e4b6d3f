"""A platform that has turned bad, in a test's hand: bundles of its own, and any message to any node."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flwr.app import RecordDict
from flwr.cli.build import build_fab_from_files
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from clients.policy_file import sign_policy
from experiments.demo.found import NO_LIMITS, sign
from fedcredit.federation.engine import to_record
from fedcredit.federation.messages import DESCRIBE, SPENT, TRAIN, Task
from fedcredit.federation.packing import pack, unpack
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import StudyRule
from server.app import initial_arrays
from server.bundle import NAME, PUBLISHER, PYPROJECT, Bundle
from server.consortium.studies import Limits, narrowed, task_schema
from server.superlink import Control, control, key_bytes, key_text
from server.superlink_files import COORDINATOR, SuperLinkFiles
from tests.consortium.world import World

ANSWER_SECONDS = 60.0


def bad_bundle(*, coordinator: str = "server.attack:app", more: Mapping[str, bytes] | None = None) -> Bundle:
    """A Flower app bundle with the coordinator of attack_server.py, and whatever else is said."""
    manifest = PYPROJECT.format(name=NAME, version="6.6.6", publisher=PUBLISHER)
    files: dict[str, bytes | Path] = {
        "pyproject.toml": manifest.replace("server.deployed:app", coordinator).encode(),
        "server/__init__.py": b"",
        "server/attack.py": Path(__file__).with_name("attack_server.py"),
        **(more or {}),
    }
    content, _ = build_fab_from_files(files)
    return Bundle(content, hashlib.sha256(content).hexdigest(), f"{PUBLISHER}/{NAME}", "6.6.6")


@contextmanager
def superlink_of(world: World) -> Iterator[Control]:
    """The SuperLink's control API, past the gateway: what the platform itself can always do."""
    files = SuperLinkFiles(world.founded.consortium.places.folder)
    with control(files.address, root=files.root) as found:
        yield found


@dataclass
class Attacker:
    """A coordinator that runs at the platform and sends what it is told to."""

    folder: Path
    keys: Mapping[str, str]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def send(self, content: RecordDict, *, to: str, kind: str = TRAIN) -> Path:
        """Send the message to the institution; gives where its answer will be."""
        packed = base64.b64encode(recorddict_to_proto(content).SerializeToString()).decode()
        key = self.keys[to]
        path = self.folder / f"{next(self._numbers):04d}.ask"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps({"to": key, "kind": kind, "content": packed}))
        draft.replace(path)
        return path.with_suffix(".said")

    def told(self, path: Path) -> dict[str, Any]:
        """What came back: `code` of a refusal, or `content`, unpacked."""
        wait_for(path.exists, what=f"an answer to {path.name}")
        said: dict[str, Any] = json.loads(path.read_text())
        if "content" in said:
            proto = RecordDictProto.FromString(base64.b64decode(said["content"]))
            said["content"] = unpack(recorddict_from_proto(proto))
        return said

    def code(self, content: RecordDict, *, to: str, kind: str = TRAIN) -> str:
        """The code that the institution refuses the message with; `answered` where it does not."""
        said = self.told(self.send(content, to=to, kind=kind))
        assert "unsent" not in said, said
        assert said.get("number", 2) == 2
        return str(said.get("code", "answered"))

    def ask(self, task: Task, *, to: str, kind: str = TRAIN, number: int = 1, **more: int | str) -> str:
        """As `code`, for a well-formed question of this task."""
        return self.code(question(task, kind=kind, number=number, **more), to=to, kind=kind)


def question(task: Task, *, kind: str = TRAIN, number: int = 1, **more: int | str) -> RecordDict:
    """What an honest coordinator would send, packed."""
    arrays = {} if kind in (DESCRIBE, SPENT) else {"arrays": to_record(initial_arrays(task))}
    return pack(RecordDict({"config": task.as_config(**{"server-round": number}, **more), **arrays}))


@contextmanager
def attacking(world: World, bundle: Bundle) -> Iterator[Attacker]:
    """A run of the bundle, submitted straight to the SuperLink of a platform that runs whatever comes."""
    name = f"attack-{secrets.token_hex(4)}"
    folder = world.founded.consortium.places.folder / "attack" / name
    folder.mkdir(parents=True)
    members = world.founded.consortium.current().active_members
    keys = {member.name: key_text(key_bytes(member.flower_key)) for member in members}
    with superlink_of(world) as superlink:
        with unguarded(world):
            run = superlink.start(bundle, {"order": name})
            wait_for((folder / "ready").exists, what="the attacker's coordinator")
        try:
            yield Attacker(folder, keys)
        finally:
            (folder / "end").touch()
            wait_for(lambda: (state := superlink.state(run)) is None or state.is_over, what="its end")


@contextmanager
def unguarded(world: World) -> Iterator[None]:
    """The platform runs Flower's own program for a coordinator, which asks nobody what it may run."""
    program = SuperLinkFiles(world.founded.consortium.places.folder).programs / COORDINATOR
    before = program.read_text()
    program.write_text(f'#!/bin/sh\nexec {Path(sys.executable).with_name(COORDINATOR)} "$@"\n')
    try:
        yield
    finally:
        program.write_text(before)


def wait_for(happens: Callable[[], bool], *, what: str) -> None:
    """Return once it has happened."""
    give_up = time.monotonic() + ANSWER_SECONDS
    while not happens():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def publish_studies(world: World, *rules: StudyRule) -> int:
    """Have the officers sign exactly these studies; gives the manifest's new version."""
    consortium, now = world.founded.consortium, datetime.now(UTC)
    change = consortium.prepared("studies", lambda at: consortium.next_version(now=at, studies=tuple(rules)), now=now)
    return sign(consortium, change).manifest.version


def rule(study: str, *bundles: Bundle, limits: Limits = NO_LIMITS, days: float = 30.0) -> StudyRule:
    """A study that is allowed with these bundles, for so many days from now."""
    until = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    schema = narrowed(task_schema(), study=study, limits=limits)
    return StudyRule(study, "credit-risk", tuple(one.sha256 for one in bundles), schema, until)


@contextmanager
def policy(world: World, name: str, **rules: str) -> Iterator[None]:
    """The institution's policy with other lines, signed by its officer; as it was at the end."""
    home = world.founded.nodes[name]
    before = home.policy.read_bytes()
    lines = home.policy.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition(":")[0] not in rules]
    home.policy.write_text("\n".join([*kept, *(f"{key}: {value}" for key, value in rules.items())]) + "\n")
    sign_policy(home.policy, officer=Identity.load(home.officer))
    try:
        yield
    finally:
        home.policy.write_bytes(before)
        sign_policy(home.policy, officer=Identity.load(home.officer))  # anew: the older signature counts no more
