"""Batches of rows become points of an InfluxDB database, over one HTTP connection that is kept."""

from __future__ import annotations

import hashlib
import http.client
import io
from datetime import UTC, datetime
from typing import Literal, Self
from urllib.parse import urlencode, urlsplit

import pandas as pd
import pyarrow as pa

from fedcredit.data.sources import COMPANY, KNOWN_AT, VALID_AT, source
from fedcredit.data.store.lines import DAY_NS, lines
from fedcredit.data.store.rows import digest, number_of, typed
from fedcredit.data.store.store import Receipt
from fedcredit.errors import TableError

Api = Literal["v1", "v2", "v3"]
LINES = 10_000  # a request: some 2 MB, where InfluxDB 1 takes 25 MB
# A shard for each year, not each week: histories are long, and every shard is a folder of its own.
CREATE = "CREATE DATABASE {name} WITH DURATION INF SHARD DURATION 52w"
MARKERS = "batches"  # one point a batch, written when all its rows are in


class InfluxStore:
    """The event store in an InfluxDB server; see docs/event-store.md for what it needs and how its points are named.

    A batch is many points, and a reader may see some before the others; a marker says that all are in. A batch that
    was broken off is sent again: its points are the same points, so that nothing doubles.

    Raises:
        TableError: the server does not answer, or refuses.
    """

    def __init__(
        self,
        url: str,
        *,
        database: str = "fedcredit",
        api: Api = "v1",
        org: str = "",
        token: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        where = urlsplit(url)
        connection = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        if not where.hostname:
            raise TableError("InfluxDB", found="no address", expected="a URL such as http://127.0.0.1:8086")
        self._connection = connection(where.hostname, where.port or 8086, timeout=timeout_seconds)
        self._at, self._database = f"{where.hostname}:{where.port or 8086}", database
        self._write = where.path.rstrip("/") + write_path(api, database=database, org=org)
        self._read = where.path.rstrip("/") + "/query"
        self._headers = {"Authorization": f"{'Bearer' if api == 'v3' else 'Token'} {token}"} if token else {}
        if api == "v1":
            self._query(CREATE.format(name=_name(database)))
        counted = self._query(f"SELECT count(seq) FROM {_name(MARKERS)}")  # noqa: S608
        self._seq = 0 if counted.empty else int(counted["count"][0])

    def append(self, table: str, rows: pa.Table, *, batch: str | None = None) -> Receipt:
        """Write rows of a source unless the marker of this batch is there; durable when this returns."""
        rows = typed(rows, table)
        sha256 = batch or digest(rows)
        moment = _moment(table, sha256)
        said = self._query(f"SELECT seq, sha256 FROM {_name(MARKERS)} WHERE time = {moment}")  # noqa: S608
        if not said.empty and said["sha256"][0] == sha256:
            return Receipt(int(said["seq"][0]), rows.num_rows, False, sha256)
        for begin in range(0, rows.num_rows, LINES):
            self._post(self._write, lines(rows.slice(begin, LINES), table))
        self._seq += 1
        marker = f"{MARKERS},source={table} seq={self._seq}i,rows={rows.num_rows}i,sha256={_quoted(sha256)} {moment}\n"
        self._post(self._write, memoryview(marker.encode()))
        return Receipt(self._seq, rows.num_rows, True, sha256)

    def window(
        self, table: str, column: str, *, after: datetime, until: datetime, company: str | None = None
    ) -> pa.Table:
        """By company the count, sum and last of a column over facts known in (after, until]; see `EventStore`.

        InfluxDB finds the rows, which it does not index by `known_at`; what corrects what is settled here.
        """
        about = source(table)
        value = number_of(about, column)
        key = [name for name in about.key if name != VALID_AT]
        asked = dict.fromkeys([*key, KNOWN_AT, value])
        only = f"AND {COMPANY} = {_quoted(company, quote=chr(39))}" if company is not None else ""
        facts = self._query(
            f"SELECT {', '.join(map(_name, asked))} FROM {_name(table)}"  # noqa: S608
            f" WHERE {KNOWN_AT} > {_micros(after)} AND {KNOWN_AT} <= {_micros(until)} {only}",
            texts=tuple(key),
        )
        if facts.empty:
            return _as_windows(pd.DataFrame({COMPANY: [], "count": [], "sum": [], "last": []}))
        facts[VALID_AT] = facts["time"] // DAY_NS
        latest = facts.sort_values(KNOWN_AT, kind="stable").drop_duplicates(list(about.key), keep="last")
        known = latest.dropna(subset=[value]).sort_values([VALID_AT, KNOWN_AT, value])
        windows = known.groupby(COMPANY)[value].agg(["count", "sum", "last"])
        return _as_windows(windows.reset_index())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _query(self, words: str, *, texts: tuple[str, ...] = ()) -> pd.DataFrame:
        form = urlencode({"db": self._database, "epoch": "ns", "q": words}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/csv"}
        answer = self._post(self._read, memoryview(form), kind)
        if not answer.strip():
            return pd.DataFrame()
        return pd.read_csv(io.BytesIO(answer), dtype=dict.fromkeys((*texts, "sha256"), "str"))

    def _post(self, path: str, body: memoryview, headers: dict[str, str] | None = None) -> bytes:
        """The answer; once more over a new connection if the server has hung up meanwhile: no request adds up."""
        for is_last in (False, True):
            try:
                self._connection.request("POST", path, body, {**self._headers, **(headers or {})})
                with self._connection.getresponse() as response:
                    answer = response.read()
                break
            except (http.client.HTTPException, OSError) as fault:
                self._connection.close()
                if is_last or not isinstance(
                    fault, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError
                ):
                    found = f"no answer ({type(fault).__name__})"
                    hint = "start the server, or mend the address"
                    raise TableError(f"InfluxDB at {self._at}", found=found, expected="one", hint=hint) from None
        if response.status >= 300:
            raise self._refused(response.status, answer)
        return answer

    def _refused(self, status: int, answer: bytes) -> TableError:
        """What the server said, in our words: its own may quote a whole line."""
        hints = {
            b"max-values-per-tag": 'more companies than the index takes: set index-version = "tsi1"',
            b"field type conflict": "the database holds the measurement with other types: use a fresh one",
            b"database not found": "create the database first",
            b"unable to parse": "a line that this server does not read",
            b"timeout": "the server is too busy: send the batch again",
        }
        hint = next((words for sign, words in hints.items() if sign in answer), "")
        hint = "name a token that may read and write" if status in (401, 403) else hint
        return TableError(
            f"InfluxDB at {self._at}",
            found=f"status {status}",
            expected="a batch stored whole; send it again",
            hint=hint,
        )


def write_path(api: Api, *, database: str, org: str = "") -> str:
    """Where a server of each generation takes line protocol.

    >>> write_path("v1", database="hub"), write_path("v3", database="hub")
    ('/write?db=hub&precision=ns', '/api/v3/write_lp?db=hub&precision=nanosecond')
    """
    words = {
        "v1": ("/write", {"db": database, "precision": "ns"}),
        "v2": ("/api/v2/write", {"bucket": database, "org": org, "precision": "ns"}),
        "v3": ("/api/v3/write_lp", {"db": database, "precision": "nanosecond"}),
    }
    path, query = words[api]
    return f"{path}?{urlencode(query)}"


def _moment(table: str, sha256: str) -> int:
    """When a batch's marker stands: on the first day of all, where its name puts it."""
    return int.from_bytes(hashlib.sha256(f"{table}:{sha256}".encode()).digest()[:8]) % DAY_NS


def _micros(moment: datetime) -> int:
    plain = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round((plain - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)


def _name(text: str) -> str:
    return _quoted(text)


def _quoted(text: str, *, quote: str = '"') -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


def _as_windows(windows: pd.DataFrame) -> pa.Table:
    kinds = {COMPANY: pa.string(), "count": pa.int64(), "sum": pa.float64(), "last": pa.float64()}
    return pa.Table.from_pandas(windows, schema=pa.schema(kinds), preserve_index=False)
