"""Events that come over HTTP are stored once and durably, set aside with a reason, or refused without an echo."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import uvicorn
from typer.testing import CliRunner

from experiments.benchmarks.load import bodies, post
from fedcredit.data.identifiers import uscc
from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import ConfigError
from server.binding import bind
from server.bodies import Malformed
from server.events import Checked, check
from server.ingest import MOST_BYTES, Ingest
from server.listen import settings
from server.serve_cli import read_token, serve

A, B = uscc(990001, [1, 2]).tolist()
TOKEN = "a-token-of-this-test"  # noqa: S105


class Served:
    """A real server in a thread, and requests to it."""

    def __init__(self, path: Path, *, token: str | None = None, most_waiting: int = 1024) -> None:
        self.store = DuckStore(path)
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.app = Ingest(self.store, token=token, most_waiting=most_waiting)
        self.server = uvicorn.Server(settings(self.app))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.thread.start()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), dict(answer.getheaders())
        finally:
            connection.close()

    def post(self, *events: dict[str, Any], table: str = "power") -> tuple[int, Any, dict[str, str]]:
        return self.ask("POST", f"/v1/events/{table}", list(events))

    def rows(self, table: str = "power") -> list[tuple[Any, ...]]:
        with self.store.connection.cursor() as cursor:
            return cursor.execute(f"SELECT * EXCLUDE seq FROM raw.{table} ORDER BY ALL").fetchall()  # noqa: S608

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.listener.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path / "hub.duckdb")
    yield server
    server.stop()


def reading(company: str = A, **other: Any) -> dict[str, Any]:
    columns = {"kwh": 10.5, "degree_days": 100.0, "days_late": 0} | {
        name: other.pop(name) for name in ("kwh", "degree_days", "days_late") if name in other
    }
    return {
        "company": company,
        "valid_at": "2025-06-30",
        "known_at": "2025-07-02T08:00:00Z",
        "columns": columns,
    } | other


def test_events_are_stored_in_the_types_of_their_source(served: Served) -> None:
    status, answer, _ = served.post(reading(A), reading(B, known_at="2025-07-02T16:00:00+08:00", kwh=20))
    assert (status, answer["accepted"], answer["quarantined"], answer["is_new"]) == (200, 2, [], True)
    day, known = datetime(2025, 6, 30).date(), datetime(2025, 7, 2, 8)
    assert served.rows() == [(0, day, known, 10.5, 100.0, 0), (1, day, known, 20.0, 100.0, 0)]


def test_texts_dates_flags_and_empty_cells_arrive(served: Served) -> None:
    shared = {"company": A, "valid_at": "2025-06-30", "known_at": "2025-07-02T08:00:00Z"}
    patent = {"grant_no": "CN 1", "kind": "design", "expires_at": "2035-06-30"}
    assert served.post(shared | {"columns": patent}, table="patents")[1]["accepted"] == 1
    bid = {"bid_no": "b-1", "is_won": True, "amount_cny": 5e4}
    assert served.post(shared | {"columns": bid}, table="procurement")[1]["accepted"] == 1
    rating = {"kind": "rating", "severity": 1.0, "colour": "green", "emissions_t": None}
    assert served.post(shared | {"columns": rating}, table="environment")[1]["accepted"] == 1
    assert served.rows("patents")[0][3:] == ("CN 1", "design", datetime(2035, 6, 30).date())
    assert served.rows("procurement")[0][3:] == ("b-1", True, 5e4)
    assert served.rows("environment")[0][3:] == ("rating", 1.0, "green", None, None)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (reading(A[:-1] + "0"), "company: no unified social credit code"),
        (reading(kwh=-1), "kwh: below 0"),
        (reading(kwh=1e10), "kwh: above 1e+09"),
        (reading(kwh="many"), "kwh: no number"),
        (reading(kwh=None), "kwh: missing"),
        (reading(days_late=1.5), "days_late: no whole number"),
        (reading(valid_at="2025-02-30"), "valid_at: no date"),
        (reading(valid_at="2025-06-29"), "valid_at: not the last day of a month"),
        (reading(valid_at="1979-06-30"), "valid_at: outside 1980..2100"),
        (reading(known_at="2025-06-01T00:00:00Z"), "known_at: before valid_at"),
        (reading(known_at=(datetime.now(UTC) + timedelta(days=2)).isoformat()), "known_at: after now"),
        (reading(voltage=220), "a member or column that the source has not"),
        (reading(kwh=10**400), "kwh: not finite"),
        (reading(voltage=json.loads("[" * 300 + "]" * 300)), "a member or column that the source has not"),
        ("no event", "no event: it has not the members company, valid_at, known_at, columns"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_faulty_event_is_set_aside_with_the_reason_of_the_contract(served: Served, event: Any, reason: str) -> None:
    status, answer, _ = served.ask(
        "POST", "/v1/events/power", json.dumps([reading(B), event, reading(A)], indent=1).encode()
    )
    assert (status, answer["accepted"]) == (200, 2)
    assert answer["quarantined"] == [{"row": 1, "reason": reason}]
    assert len(served.rows()) == 2
    (line,) = map(json.loads, (served.store.path.parent / "hub.duckdb.quarantine.ndjson").read_text().splitlines())
    assert (line["table"], line["batch"], line["row"], line["reason"]) == ("power", answer["batch"], 1, reason)
    assert line["event"] == event


def test_what_must_hold_within_a_row_is_asked_too(served: Served) -> None:
    columns = {"buyer": A, "buyer_region": 1, "amount_cny": 100.0, "tax_cny": 13.0, "invoices": 1}
    event = {"company": A, "valid_at": "2025-06-30", "known_at": "2025-07-02T08:00:00Z", "columns": columns}
    other = event | {"company": B}
    taxed = other | {"columns": columns | {"tax_cny": 40.0}}
    answer = served.post(event, other, taxed, table="invoices")[1]
    assert answer["quarantined"] == [
        {"row": 0, "reason": "a company invoices itself"},
        {"row": 2, "reason": "tax above 13 % of the amount"},
    ]
    assert len(served.rows("invoices")) == 1


def test_what_a_file_may_write_an_event_may_write(served: Served) -> None:
    answer = served.post(reading(A.lower(), valid_at="2025年6月30日", kwh="1250"))[1]
    assert answer["accepted"] == 1
    assert served.rows()[0][3] == 1250.0


def test_only_the_owner_may_read_the_quarantine(served: Served) -> None:
    served.post(reading(kwh=-1))
    assert (served.store.path.parent / "hub.duckdb.quarantine.ndjson").stat().st_mode & 0o777 == 0o600


def test_the_same_body_again_changes_nothing(served: Served) -> None:
    first, again = (served.post(reading(), reading(kwh=-1))[1] for _ in range(2))
    assert again == first | {"is_new": False}
    assert len(served.rows()) == 1
    assert len((served.store.path.parent / "hub.duckdb.quarantine.ndjson").read_text().splitlines()) == 1


def test_a_repeat_is_told_what_was_set_aside_when_it_came_first(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = reading(known_at=(datetime.now(UTC) + timedelta(minutes=30)).isoformat())
    first = served.post(reading(), event)[1]

    def an_hour_later(table: str, bodies: Sequence[bytes], *, now: datetime) -> list[Malformed | Checked]:
        return check(table, bodies, now=now + timedelta(hours=1))

    monkeypatch.setattr("server.writer.check", an_hour_later)
    again = served.post(reading(), event)[1]
    assert again["accepted"] == 1
    assert again["quarantined"] == first["quarantined"] == [{"row": 1, "reason": "known_at: after now"}]


@pytest.mark.parametrize(
    "body", [b"[{", b"nope", b"", b'[{"company": "\xff"}]', b'{"company": 1}', b"[" * 100_000, b'[{"x": "\xff"}]']
)
def test_a_body_that_is_no_array_of_json_is_refused_without_an_echo(served: Served, body: bytes) -> None:
    status, answer, _ = served.ask("POST", "/v1/events/power", body)
    assert status == 400
    assert answer["error"] in ("malformed JSON", "no array")


def test_large_bodies_are_refused(served: Served) -> None:
    assert served.ask("POST", "/v1/events/power", b" " * (MOST_BYTES + 1))[0] == 413
    assert served.post(*[reading()] * 1001)[0] == 413
    assert served.post(*[reading()] * 1000)[1]["accepted"] == 1000


def test_unknown_tables_addresses_and_methods_are_refused(served: Served) -> None:
    assert served.post(reading(), table="taxes")[0] == 404
    assert served.ask("GET", "/v1/nothing")[0] == 404
    assert served.ask("GET", "/v1/events/power")[0] == 405
    assert served.ask("POST", "/v1/events/power", [], Origin="https://example.org")[0] == 403


def test_health_says_ok_to_everybody(tmp_path: Path) -> None:
    server = Served(tmp_path / "hub.duckdb", token=TOKEN)
    try:
        assert server.ask("GET", "/v1/health")[:2] == (200, {"status": "ok", "waiting": 0})
    finally:
        server.stop()


def test_without_the_token_nothing_is_taken_or_told(tmp_path: Path) -> None:
    server = Served(tmp_path / "hub.duckdb", token=TOKEN)
    try:
        assert server.post(reading())[0] == 401
        for wrong in ("Bearer wrong", TOKEN, "Bearer", "Bearer \xe9"):
            assert server.ask("POST", "/v1/events/power", [reading()], Authorization=wrong)[0] == 401
        assert server.ask("GET", f"/v1/companies/{A}/window?table=power&column=kwh")[0] == 401
        assert server.ask("POST", "/v1/events/power", [reading()], Authorization=f"Bearer {TOKEN}")[0] == 200
    finally:
        server.stop()


def test_a_window_counts_what_became_known_in_its_hours(served: Served) -> None:
    served.post(reading(), reading(known_at="2025-07-03T08:00:00Z", kwh=30), reading(B))
    window = f"/v1/companies/{A}/window?table=power&column=kwh&until=2025-07-04T00:00:00"
    for hours, facts in ((72, {"count": 1, "sum": 30.0, "last": 30.0}), (1, {"count": 0, "sum": None, "last": None})):
        status, answer, _ = served.ask("GET", f"{window}&hours={hours}")
        assert status == 200
        assert {name: answer[name] for name in facts} == facts


def test_a_window_that_cannot_be_is_refused(served: Served) -> None:
    for query, status in (
        ("table=power&column=kwh&hours=nan", 400),
        ("table=power&column=kwh&hours=x", 400),
        ("table=power&column=kwh&until=99", 400),
        ("table=power&column=company", 400),
        ("table=powers&column=kwh", 404),
    ):
        assert served.ask("GET", f"/v1/companies/{A}/window?{query}")[0] == status
    assert served.ask("GET", "/v1/companies/1234/window?table=power&column=kwh")[0] == 400


def test_when_too_many_wait_others_are_told_to_come_back(tmp_path: Path) -> None:
    server = Served(tmp_path / "hub.duckdb", most_waiting=1)
    answers: list[int] = []
    lock = server.store._lock  # a disk that does not answer
    with lock:
        posts = [
            threading.Thread(target=lambda kwh=kwh: answers.append(server.post(reading(kwh=kwh))[0]))
            for kwh in range(12)
        ]
        for one in posts:
            one.start()
        while 503 not in answers:
            threading.Event().wait(0.01)
        status, answer, headers = server.post(reading(kwh=99))
    for one in posts:
        one.join()
    assert (status, headers["retry-after"]) == (503, "1")
    assert answer["error"] == "too many requests wait"
    assert len(server.rows()) == answers.count(200) > 0
    server.stop()


def test_one_that_cannot_be_stored_does_not_take_others_with_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_all = served.store.append_many

    def append_many(batches: Any) -> Any:
        if any(50.0 in batch.rows["kwh"].to_pylist() for batch in batches):
            raise MemoryError
        return store_all(batches)

    monkeypatch.setattr(served.store, "append_many", append_many)
    answers: dict[float, int] = {}

    def send(kwh: float) -> None:
        answers[kwh] = served.post(reading(kwh=kwh))[0]

    posts = [threading.Thread(target=send, args=(kwh,)) for kwh in (10.0, 50.0, 20.0, 30.0)]
    for one in posts:
        one.start()
    for one in posts:
        one.join()
    assert answers == {10.0: 200, 50.0: 503, 20.0: 200, 30.0: 200}


def test_nothing_of_a_company_is_logged(
    served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    served.post(reading(), reading(kwh=-1), reading(A[:-1] + "0"))
    served.ask("GET", f"/v1/companies/{A}/window?table=power&column=kwh")
    said = caplog.text + "".join(capfd.readouterr())
    assert A not in said
    assert A[:-1] not in said


def test_many_at_once_are_each_stored_once(served: Served) -> None:
    sent = [json.loads(body) for body in bodies(24, seed=1, events=5)]
    posts = [threading.Thread(target=served.post, args=tuple(events)) for events in [*sent, *sent]]
    for one in posts:
        one.start()
    for one in posts:
        one.join()
    assert len(served.rows()) == 24 * 5


def test_an_open_address_needs_a_token(tmp_path: Path) -> None:
    result = CliRunner().invoke(serve, ["ingest", "--store", str(tmp_path / "hub.duckdb"), "--host", "0.0.0.0"])  # noqa: S104
    assert isinstance(result.exception, ConfigError)
    assert "--token-file" in str(result.exception)


def test_a_token_is_one_long_word(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for text in ("", "short", "two words that are long enough", "秘密" * 20):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match="one word"):
            read_token(path)
    path.write_text(TOKEN + "\n")
    assert read_token(path) == TOKEN
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(tmp_path / "nothing")


def start(path: Path) -> tuple[subprocess.Popen[str], int]:
    """`fedcredit serve ingest` on a free port, as a process of its own."""
    command = [sys.executable, "-m", "fedcredit", "serve", "ingest", "--store", str(path), "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server.stdout as told:
        return server, int(json.loads(told.readline())["listening"].rsplit(":", 1)[1])


async def _send(port: int, parts: list[list[bytes]], acknowledged: list[bytes]) -> None:
    """A connection for each part; it sends one body after the other until the server is gone."""

    async def one(own: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for body in own:
                writer.write(post(body))
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                assert head.startswith(b"HTTP/1.1 200")
                acknowledged.append(body)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    await asyncio.gather(*(one(part) for part in parts))


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "hub.duckdb"
    sent = list(bodies(1600, seed=3, events=50))
    parts = [sent[at::16] for at in range(16)]
    acknowledged: list[bytes] = []
    server, port = start(path)

    def kill() -> None:
        while len(acknowledged) < 400:
            threading.Event().wait(0.005)
        os.kill(server.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    asyncio.run(_send(port, parts, acknowledged))
    killer.join()
    server.wait()
    assert 400 <= len(acknowledged) < len(sent)
    stored = _stored(path)
    wanted = _events(acknowledged)
    assert all(stored.get(event) == count for event, count in wanted.items())
    assert stored.keys() <= _events(sent).keys()

    server, port = start(path)
    asyncio.run(_send(port, parts, []))
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=30) == 0
    assert _stored(path) == _events(sent)


@pytest.mark.slow
def test_sigterm_finishes_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "hub.duckdb"
    sent = list(bodies(400, seed=4, events=50))
    acknowledged: list[bytes] = []
    server, port = start(path)

    def stop() -> None:
        while len(acknowledged) < 100:
            threading.Event().wait(0.005)
        server.send_signal(signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    asyncio.run(_send(port, [sent[at::8] for at in range(8)], acknowledged))
    stopper.join()
    assert server.wait(timeout=30) == 0
    assert not path.with_name("hub.duckdb.wal").exists()  # folded into the file
    assert _stored(path) == _events(acknowledged)


def _events(sent: list[bytes]) -> dict[tuple[str, float], int]:
    """How often each company and value was sent."""
    counts: dict[tuple[str, float], int] = {}
    for body in sent:
        for event in json.loads(body):
            key = (event["company"], event["columns"]["kwh"])
            counts[key] = counts.get(key, 0) + 1
    return counts


def _stored(path: Path) -> dict[tuple[str, float], int]:
    with duckdb.connect(str(path)) as connection:
        rows = connection.execute(
            "SELECT company, kwh, count(*) FROM raw.power JOIN companies ON code = firm GROUP BY ALL"
        ).fetchall()
    return {(company, float(np.float64(kwh))): count for company, kwh, count in rows}
