"""What Prometheus is told of a consortium's home."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flwr.supercore.state.schema.linkstate_models import Node
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.schema import CreateTable

from fedcredit.link.caddy import start
from fedcredit.link.parts import apps, server
from server.gateway_metrics import responses
from server.metrics import collect, serve_metrics

COMPANY = "91990001000000019G"


def values(home: Path) -> dict[str, float]:
    """Each sample as `name{label=value}`, without the prefix."""
    found = {}
    for family in collect(home):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[sample.name.removeprefix("fedcredit_platform_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def write_json(path: Path, found: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")


def write_certificate(path: Path, *, ends: datetime) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, ends - timedelta(days=90), ends)
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    member = {"name": "bank-a", "status": "active"}
    members = [member, {**member, "name": "某银行"}, {**member, "name": "bank-c", "status": "revoked"}]
    body = {"consortium": "c", "version": 7, "expires": "2027-01-01T00:00:00Z", "members": members}
    write_json(tmp_path / "manifest.json", {"schema": 1, "kind": "manifest", "body": body, "signatures": []})
    return tmp_path


def test_the_manifest_says_its_version_expiry_and_how_many_are_active(home: Path) -> None:
    found = values(home)
    assert found["manifest_version"] == 7
    assert found["manifest_expires_timestamp_seconds"] == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert (found["members{status=active}"], found["members{status=revoked}"]) == (2, 1)


def test_no_metric_names_an_institution_or_a_company(home: Path) -> None:
    write_json(home / "studies" / COMPANY / "1" / "a" / "status.json", {"state": "running", "round": 1})
    write_json(
        home / "studies" / "loans" / "1" / "federated" / "status.json",
        {"state": "running", "quarantined": {COMPANY: 2, "某某有限公司": 1, "nan": 4}},
    )
    text = "\n".join(values(home))
    assert not any(name in text for name in ("bank-a", "某", COMPANY, COMPANY.lower()))
    assert values(home)["study_quarantined{code=other,study=loans}"] == 3
    assert values(home)["study_quarantined{code=nan,study=loans}"] == 4


def test_an_ending_certificate_shows_its_day(home: Path) -> None:
    ends = datetime(2026, 12, 24, tzinfo=UTC)
    write_certificate(home / "authority" / "ca.crt", ends=ends)
    assert values(home)["certificate_expires_timestamp_seconds{certificate=authority}"] == ends.timestamp()


def test_nodes_online_are_those_of_flowers_own_table_whose_heartbeat_still_counts(home: Path) -> None:
    (home / "superlink").mkdir()
    rows = [("online", 60.0), ("online", 60.0), ("online", -1.0), ("registered", None), ("unregistered", None)]
    with closing(sqlite3.connect(home / "superlink" / "state.db")) as db, db:
        db.execute(str(CreateTable(Node.__table__).compile(dialect=dialect.dialect())))
        for number, (status, left) in enumerate(rows):
            until = None if left is None else time.time() + left
            db.execute("INSERT INTO node (node_id, status, online_until) VALUES (?, ?, ?)", (number, status, until))
    before = (home / "superlink" / "state.db").read_bytes()
    found = values(home)
    assert (found["nodes{status=online}"], found["nodes{status=offline}"]) == (2, 2)
    assert (home / "superlink" / "state.db").read_bytes() == before


def test_only_the_unit_that_last_gave_a_sign_counts(home: Path) -> None:
    study = home / "studies" / "loans"
    old = {"state": "running", "round": 3, "updated": "2026-01-01T00:00:00.000+00:00"}
    write_json(study / "20260101T000000Z" / "federated" / "status.json", old)
    now = {"state": "succeeded", "round": 9, "seconds": 0.4, "updated": "2026-01-02T00:00:00.000+00:00"}
    write_json(study / "20260102T000000Z" / "federated" / "status.json", now)
    found = values(home)
    assert (found["study_round{study=loans}"], found["study_running{study=loans}"]) == (9, 0)
    assert found["study_round_seconds{study=loans}"] == 0.4
    assert found["study_updated_timestamp_seconds{study=loans}"] == datetime(2026, 1, 2, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"body": 3}', '{"body": {"version": "9", "members": 3, "expires": "x"}}', "[" * 100_000]
)
def test_a_broken_file_leaves_its_metrics_out_and_the_others_stay(home: Path, text: str) -> None:
    (home / "manifest.json").write_text(text)
    (home / "superlink").mkdir()
    (home / "superlink" / "state.db").write_bytes(b"not a database")
    (home / "run").mkdir()
    (home / "run" / "backup.json").write_text(text)
    found = values(home)
    assert "manifest_version" not in found
    assert "backup_timestamp_seconds" not in found
    assert found["disk_free_bytes"] > 0


def test_the_last_backup_says_when_it_was(home: Path) -> None:
    write_json(home / "run" / "backup.json", {"time": "2026-11-24T03:00:00+00:00"})
    assert values(home)["backup_timestamp_seconds"] == datetime(2026, 11, 24, 3, tzinfo=UTC).timestamp()


def test_metrics_are_served_on_loopback_and_on_no_other_address(home: Path) -> None:
    served = serve_metrics(home, 0)
    try:
        address = served.server.server_address[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    finally:
        served.close()
    assert address == "127.0.0.1"
    assert "fedcredit_platform_manifest_version 7.0" in text
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", served.port), timeout=1).close()


@pytest.fixture
def caddy(home: Path) -> Iterator[int]:
    """A gateway that answers /ok, and refuses everything else; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    answer = [{"handler": "static_response", "status_code": "{http.vars.code}"}]
    routes = [
        {"match": [{"path": ["/ok"]}], "handle": [{"handler": "vars", "code": "200"}, *answer]},
        {"handle": [{"handler": "vars", "code": "403"}, *answer]},
    ]
    running = start(apps({"gateway": server(f"127.0.0.1:{port}", routes)}), folder=home / "run" / "gateway")
    try:
        yield port
    finally:
        running.stop()


def test_the_gateways_answers_are_counted_by_code_and_once_each(home: Path, caddy: int) -> None:
    assert responses(home) == {}
    for path, expected in (("/ok", b"200"), ("/docs", b"403"), ("/v1/runtime/x", b"403")):
        with closing(socket.create_connection(("127.0.0.1", caddy), timeout=5)) as ask:
            ask.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            assert expected in ask.recv(100)
    found = values(home)
    assert found["gateway_responses_total{code=200}"] == 1
    assert found["gateway_responses_total{code=403}"] == 2


def test_a_gateway_that_does_not_answer_leaves_its_counters_out(home: Path) -> None:
    (home / "run" / "gateway").mkdir(parents=True)
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(home / "run" / "gateway" / "admin.sock"))
    assert responses(home) == {}
