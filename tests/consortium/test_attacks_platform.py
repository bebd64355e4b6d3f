"""What must not get to the platform does not, who is out is out at once, and a thief of tasks finds the door shut."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

from clients.facts import set_facts
from clients.home import NodeHome
from clients.request import make_request
from clients.rows import save_private
from experiments.demo.found import accept, let_in, sign
from fedcredit.data.windows import load
from fedcredit.errors import TableError
from fedcredit.federation.messages import DESCRIBE, PrivacyTerms
from fedcredit.link import caddy
from fedcredit.link.tunnel import Ends, tunnel_config
from fedcredit.trust.manifest import ManifestFile, ManifestRefused
from server.bundle import bundle
from server.consortium.rotate import revoked
from server.superlink import key_bytes, key_text
from server.superlink_files import SuperLinkFiles
from tests.conftest import make_windows
from tests.consortium.attacker import attacking, bad_bundle, policy, publish_studies, rule, superlink_of
from tests.consortium.world import NAMES, STUDY, World, masked
from tests.federation.conftest import make_task
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BAD = bad_bundle()
PLANTED = "91440300708461136T"  # a code of the form that every company here has; its check digit is right
TERMS = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=10)  # eleven with the reserve
OUT_SECONDS = 10.0


@pytest.fixture(scope="module", autouse=True)
def bad_bundle_is_allowed(world: World) -> Iterator[None]:
    """The officers were talked into it, so that messages of the attacker's own reach the ClientApp."""
    publish_studies(world, rule(STUDY, bundle(), BAD))
    yield
    publish_studies(world, rule(STUDY, bundle()))


@contextmanager
def restarted(world: World, name: str, **facts: str | int | bool) -> Iterator[NodeHome]:
    """The institution's node with other facts; as it was at the end."""
    home = world.founded.nodes[name]
    files = {path: path.read_bytes() for path in (home.facts, home.windows)}
    world.processes.stop(name)
    set_facts(home, **facts)
    try:
        yield home
    finally:
        if name in world.processes.processes:
            world.processes.stop(name)
        for path, data in files.items():
            path.write_bytes(data)
        start(world, name)


def start(world: World, name: str) -> None:
    """Start the node, and wait until it is online."""
    world.processes.start_node(name)
    world.processes.wait_online([name])


# Tasks.


def acquire(address: str, *, root: Path | None) -> int:
    """The status of the answer to who asks for a coordinator's task."""
    signed = [RuntimeVersionHttpInterceptor(component_name="flower-superexec")]
    certificates = root.read_bytes() if root else None
    with RuntimeHttpClient.from_server_address(address, root is None, certificates, interceptors=signed) as thief:
        try:
            thief.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
        except httpx.HTTPStatusError as fault:
            return fault.response.status_code
    return 200


def test_a_task_is_not_given_to_who_does_not_know_the_secret(world: World) -> None:
    files = SuperLinkFiles(world.founded.consortium.places.folder)
    assert acquire(files.address, root=files.root) == 401


@pytest.mark.parametrize("role", ["institution", "operator"])
def test_no_certificate_of_the_consortium_gets_a_task_through_the_gateway(
    world: World, role: str, tmp_path: Path
) -> None:
    home, own = world.founded.nodes["bank-a"], world.operator
    folder = home.folder if role == "institution" else own.folder
    ends = Ends(
        gateway=own.facts.gateway,
        server_name=own.facts.server_name,
        authority=(folder / "ca.crt").read_text(),
        certificate=folder / "tls.crt",
        key=folder / "tls.key",
    )
    port = free_port()
    config = tunnel_config(ends, port=port, role="institution" if role == "institution" else "operator")
    routes = config["apps"]["http"]["servers"]["tunnel"]["routes"]
    config["apps"]["http"]["servers"]["tunnel"]["routes"] = [{"handle": routes[1]["handle"]}]  # it filters nothing
    running = caddy.start(config, folder=tmp_path / "thief")
    try:
        assert httpx.get(f"http://127.0.0.1:{port}/v1/manifest").status_code == 200
        assert acquire(f"127.0.0.1:{port}", root=None) == 403
    finally:
        running.stop()


# Members and manifests.


def test_a_revoked_member_is_out_at_once_and_its_key_is_unregistered(world: World) -> None:
    founded = world.founded
    home = NodeHome(world.folder / "node-late")
    answers = let_in(founded.consortium, [make_request(home, institution="bank-late")])
    accept(home, answers["bank-late"].read_bytes(), fingerprint=founded.consortium.current().root_fingerprint)
    save_private(make_windows("bank-late"), home.windows)
    set_facts(home, label_definition="90 dpd", open_rows=True)
    member = founded.consortium.current().member("bank-late")
    assert member is not None
    key = key_text(key_bytes(member.flower_key))
    founded.nodes["bank-late"] = home
    try:
        start(world, "bank-late")
        with superlink_of(world) as superlink:
            assert superlink.node_states()[key] == "online"
            now = founded.consortium.current().issued
            change = founded.consortium.prepared(
                "revoke bank-late", lambda at: revoked(founded.consortium, "bank-late", now=at), now=now
            )
            sign(founded.consortium, change)
            began = time.monotonic()
            while key in superlink.nodes() and time.monotonic() < began + OUT_SECONDS:
                time.sleep(0.05)
            assert key not in superlink.nodes()
        log = home.run / "node.log"
        while "refuses this node" not in log.read_text() and time.monotonic() < began + OUT_SECONDS:
            time.sleep(0.05)
        assert "refuses this node" in log.read_text()
    finally:
        world.processes.stop("bank-late")
        del founded.nodes["bank-late"]
        shutil.rmtree(home.folder)


def test_an_older_manifest_that_the_gateway_serves_is_not_taken(world: World) -> None:
    places, home = world.founded.consortium.places, world.founded.nodes["bank-a"]
    further = bad_bundle(more={"server/more.py": b"MORE = 1\n"})
    newest = publish_studies(world, rule(STUDY, bundle(), BAD, further))
    with attacking(world, further) as known:  # a bundle that the node does not know makes it look for a manifest
        assert known.ask(make_task(study=STUDY), to="bank-a", kind=DESCRIBE) == "answered"
    kept, log = places.manifest.read_bytes(), home.run / "node.log"
    before = log.stat().st_size
    with attacking(world, bad_bundle(more={"server/more.py": b"MORE = 2\n"})) as intruder:
        places.manifest.write_bytes(places.version(newest - 1).read_bytes())
        try:
            with pytest.raises(ManifestRefused):
                world.founded.consortium.current()
            assert intruder.ask(make_task(study=STUDY), to="bank-a", kind=DESCRIBE) == "bundle"
        finally:
            places.manifest.write_bytes(kept)
    assert "no new manifest" in log.read_text()[before:]
    assert ManifestFile(home.manifest).read(now=datetime.now(UTC)).version == newest


# What must not get here.


def test_a_company_s_code_is_in_no_file_of_the_platform_or_the_operator(world: World) -> None:
    planted = make_windows("bank-d", seed=3)
    with restarted(world, "bank-d", windows=f"{PLANTED}.npz") as home:
        rows = home.folder / f"{PLANTED}.npz"
        save_private(replace(planted, company=np.array([PLANTED] * len(planted.y))), rows)
        start(world, "bank-d")
        world.conduct(world.order(rounds=1))
        world.conduct(world.order(masked(), rounds=1))
        rows.unlink()
        with pytest.raises(TableError, match=PLANTED):  # the error says the name
            load(rows)
        os.kill(world.processes.status("bank-d")["worker_pid"], signal.SIGKILL)
        with attacking(world, BAD) as asked:
            assert asked.ask(make_task(study=STUDY), to="bank-d") == "table"
        world.conduct(world.order(rounds=1, quorum=3))
    assert not holding(PLANTED, world.founded.consortium.places.folder)
    assert not holding(PLANTED, world.operator.folder)
    assert not holding(PLANTED, world.founded.nodes["bank-d"].run), "nor is it in the node's own logs"
    assert holding("bank-d", world.founded.consortium.places.folder), "what is there is found"


def holding(text: str, folder: Path) -> list[str]:
    """The files of the folder that have the text in them, in any of the ways in which Flower writes it."""
    forms = [text.encode(), text.encode("utf-16-le"), text.encode("utf-32-le"), text.encode().hex().encode()]
    contents: dict[str, bytes] = {}
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):  # a draft, or a database's journal, that is gone since it was listed
                if path.is_file() and not path.is_symlink():
                    contents[str(path)] = path.read_bytes()
    assert contents
    return [path for path, data in contents.items() if any(form in data for form in forms)]


# Budgets.


def test_a_node_whose_budget_ends_refuses_and_the_study_goes_on_with_the_others(world: World) -> None:
    order = world.order(make_task(privacy=TERMS, metrics="none"), rounds=6, quorum=3)
    with restarted(world, "bank-d", open_rows=False, overspending=False, exact_metrics=False):
        start(world, "bank-d")
        with policy(world, "bank-d", epsilon="{run: 4.0, lifetime: 5.0}"):
            with attacking(world, BAD) as crashing:  # a coordinator that repeats the first round, as after crashes
                for _ in range(8):
                    assert crashing.ask(order.task, to="bank-d") == "answered"
            there = world.conduct(order)
            assert world.processes.status("bank-d")["refused"] == {"budget": 3}
    assert [len(record.institutions) for record in there.state.history] == [4, 4, 4, 3, 3, 3]
    assert [record.quarantined for record in there.state.history[3:]] == [{"bank-d": "error-budget"}] * 3
    assert set(there.epsilon) == set(NAMES)
    assert max(there.epsilon.values()) <= TERMS.epsilon
