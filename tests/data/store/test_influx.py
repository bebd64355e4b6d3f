"""Points of a real InfluxDB: hostile texts come back as they went in, and what was broken off is healed."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from fedcredit.data.identifiers import uscc
from fedcredit.data.store import influx as influx_module
from fedcredit.data.store.influx import Api, InfluxStore
from fedcredit.data.store.lines import lines
from fedcredit.data.store.rows import typed
from fedcredit.errors import TableError

NOON = datetime(2025, 6, 30, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=3650)
A, B = uscc(990001, [1, 2]).tolist()
HOSTILE = [
    'a"b',
    "a\\b",
    "a\\",
    '\\"',
    "a,b=c d",
    "first\nsecond",
    "tab\there",
    "案号（2025）京01民初1号",
    "'; DROP DATABASE fedcredit; --",
    'x" 1\npower,company=forged kwh=1i 1',
    "😀" * 40,
    " ",
]


def cases(numbers: list[str], *, amount: float = 1.0) -> pa.Table:
    """Court records of one company on one day, told apart by their numbers alone."""
    known_at = pa.array([NOON - timedelta(hours=1)] * len(numbers), pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "company": [A] * len(numbers),
            "valid_at": [date(2025, 6, 29)] * len(numbers),
            "known_at": known_at,
            "case_no": numbers,
            "kind": ["enforcement"] * len(numbers),
            "amount_cny": [amount] * len(numbers),
            "severity": [2.0] * len(numbers),
        }
    )


def test_hostile_texts_come_back_as_they_went_in(influx: InfluxStore) -> None:
    influx.append("judicial", cases(HOSTILE))
    back = influx._query('SELECT case_no FROM "judicial"', texts=("case_no",))
    assert sorted(back["case_no"]) == sorted(HOSTILE)
    assert influx.window("judicial", "amount_cny", after=LONG_AGO, until=NOON)["count"].to_pylist() == [len(HOSTILE)]
    assert set(influx._query("SHOW MEASUREMENTS")["name"]) == {"measurements"}
    assert (
        influx.window("power", "kwh", after=LONG_AGO, until=NOON).num_rows == 0
    )  # the forged line is a part of a text


def test_rows_that_differ_in_their_key_alone_are_points_of_their_own(influx: InfluxStore) -> None:
    influx.append("judicial", cases([f"case {number}" for number in range(5_000)]))
    window = influx.window("judicial", "amount_cny", after=LONG_AGO, until=NOON)
    assert window.to_pylist() == [{"company": A, "count": 5_000, "sum": 5_000.0, "last": 1.0}]


def test_a_batch_that_was_broken_off_is_whole_after_it_is_sent_again(
    influx: InfluxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influx_module, "LINES", 40)
    sent = []

    def write_then_break(rows: pa.Table, table: str) -> memoryview:
        sent.append(rows.num_rows)
        if len(sent) == 2:
            raise KeyboardInterrupt
        return lines(rows, table)

    rows = cases([f"case {number}" for number in range(100)])
    with monkeypatch.context() as broken:
        broken.setattr(influx_module, "lines", write_then_break)
        with pytest.raises(KeyboardInterrupt):
            influx.append("judicial", rows)
    assert influx.window("judicial", "amount_cny", after=LONG_AGO, until=NOON)["count"].to_pylist() == [40]
    assert influx.append("judicial", rows).is_new
    assert not influx.append("judicial", rows).is_new
    assert influx.window("judicial", "amount_cny", after=LONG_AGO, until=NOON)["count"].to_pylist() == [100]


def test_numbers_of_batches_go_on_after_a_new_connection(influx_url: str) -> None:
    name = f"again {A} {datetime.now(UTC).timestamp()}"
    for number in (1, 2):
        with InfluxStore(influx_url, database=name) as store:
            assert store.append("judicial", cases([f"case {number}"])).seq == number


def test_a_server_that_hung_up_is_called_again(influx: InfluxStore) -> None:
    influx.append("judicial", cases(["one"]))
    assert influx._connection.sock is not None
    influx._connection.sock.shutdown(2)
    assert influx.append("judicial", cases(["two"])).is_new


def test_what_the_server_refuses_is_told_without_a_cell(influx: InfluxStore) -> None:
    line = b'judicial,company=x known_at=1i,amount_cny="a secret text" 1751155200000000001\n'
    influx._post(influx._write, memoryview(line))
    with pytest.raises(TableError, match="status 400") as refused:
        influx.append("judicial", cases(["secret case"]))
    assert "secret" not in str(refused.value)
    assert "other types" in refused.value.hint


def test_a_number_or_tag_that_the_protocol_cannot_say_is_refused(influx: InfluxStore) -> None:
    with pytest.raises(TableError, match="not finite"):
        influx.append("judicial", cases(["one"], amount=float("nan")))
    for text in ("", "a\nb", "a\\"):
        rows = cases(["one"])
        rows = rows.set_column(rows.column_names.index("company"), "company", pa.array([text]))
        with pytest.raises(TableError, match="line break"):
            influx.append("judicial", rows)


def test_nobody_at_the_address_is_told_with_a_hint() -> None:
    with pytest.raises(TableError, match=r"127\.0\.0\.1:9: found no answer"):
        InfluxStore("http://127.0.0.1:9")
    with pytest.raises(TableError, match="no address"):
        InfluxStore("influx")


def test_escapes_of_tags_stand_where_the_protocol_has_them() -> None:
    rows = cases(["one"])
    rows = typed(rows.set_column(0, "company", pa.array(["a b,c=d\\e"])), "judicial")
    assert bytes(lines(rows, "judicial")).startswith(rb"judicial,company=a\ b\,c\=d\e known_at=")


@pytest.mark.parametrize(
    ("api", "path", "token"),
    [
        ("v2", "/api/v2/write?bucket=hub&org=a+bank&precision=ns", "Token secret"),
        ("v3", "/api/v3/write_lp?db=hub&precision=nanosecond", "Bearer secret"),
    ],
)
def test_newer_servers_are_written_to_at_their_own_address(api: Api, path: str, token: str) -> None:
    with (
        listening() as (url, heard),
        InfluxStore(url, database="hub", api=api, org="a bank", token="secret") as store,  # noqa: S106
    ):
        store.append("judicial", cases(["one"]))
    writes = [(at, who, body) for at, who, body in heard if not at.startswith("/query")]
    assert [(at, who) for at, who, _ in writes] == [(path, token)] * 2
    assert writes[0][2].startswith(b"judicial,company=")
    assert writes[1][2].startswith(b"batches,source=judicial seq=1i,rows=1i,")


@contextmanager
def listening() -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """A server that takes everything, and what it heard: path, authorization, body."""
    heard = []

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, self.headers["Authorization"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()
        thread.join()
