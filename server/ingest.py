"""HTTP requests become rows of the event store, acknowledged when durable; and windows of it become answers."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import msgspec

from fedcredit.data.identifiers import is_company_code
from fedcredit.data.sources import sources
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.store.store import EventStore
from fedcredit.errors import TableError
from server.bodies import MOST_EVENTS, Malformed
from server.quarantine import Quarantine
from server.writer import MOST_WAITING, NotStored, Outcome, Writer

MOST_BYTES = 1 << 20  # a body
MOST_DROPPED = 16 << 20
MOST_HOURS = 24 * 366
READERS = 2  # threads that ask the store while the writer writes
EVENTS = re.compile(r"/v1/events/(\w+)")
WINDOW = re.compile(r"/v1/companies/(\w+)/window")
log = logging.getLogger(__name__)

Headers = tuple[tuple[bytes, bytes], ...]
AGAIN: Headers = ((b"retry-after", b"1"),)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Refused(Exception):
    """An answer other than 200. Its words are ours: nothing that a request said is said again."""

    def __init__(self, status: int, error: str, *, hint: str = "") -> None:
        super().__init__(status, error)
        self.status, self.error, self.hint = status, error, hint


class Ingest:
    """The ASGI application over a store that it owns and closes; see docs/event-store.md for its requests."""

    def __init__(self, store: DuckStore, *, token: str | None = None, most_waiting: int = MOST_WAITING) -> None:
        self._store, self._token = store, token
        self._quarantine = Quarantine(store.path)
        self._writer = Writer(store, self._quarantine, most_waiting=most_waiting)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._tables = {source.table for source in sources()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            status, more = 200, Headers()
            try:
                answer = await self._answer(scope, receive)
            except Refused as fault:
                status, answer = fault.status, {"error": fault.error, "hint": fault.hint}
                more = AGAIN if status == 503 else more
            except Exception as fault:  # its text may quote a cell
                log.error("a request failed: %s", type(fault).__name__)  # noqa: TRY400
                status, answer = 500, {"error": "an error of the server", "hint": "its log names the kind"}
            await _reply(send, status, answer, more)

    def close(self) -> None:
        """Finish what waits and give up the store."""
        self._writer.close()
        self._readers.shutdown()
        self._quarantine.close()
        self._store.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await asyncio.get_running_loop().run_in_executor(None, self.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive) -> Any:
        path, method = scope["path"], scope["method"]
        if (method, path) == ("GET", "/v1/health"):
            return {"status": "ok", "waiting": self._writer.waiting}
        headers = dict(scope["headers"])
        self._admit(headers)
        if found := EVENTS.fullmatch(path):
            _require(method, "POST")
            if found[1] not in self._tables:
                raise Refused(404, "no such table", hint=f"one of {', '.join(sorted(self._tables))}")
            return await self._take(found[1], await _body(receive))
        if found := WINDOW.fullmatch(path):
            _require(method, "GET")
            return await self._window(found[1], scope["query_string"])
        raise Refused(404, "no such address", hint="POST /v1/events/TABLE, GET /v1/companies/COMPANY/window")

    def _admit(self, headers: Mapping[bytes, bytes]) -> None:
        if self._token is not None:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token.encode()):
                raise Refused(401, "no valid token", hint="Authorization: Bearer TOKEN")
        if b"origin" in headers:  # a page in a browser of this machine, from wherever it came
            raise Refused(403, "a request of a web page")

    async def _take(self, table: str, body: bytes) -> Any:
        answer = self._writer.submit(table, body)
        if answer is None:
            raise Refused(503, "too many requests wait", hint="send it again after a second")
        return _told(await answer)

    async def _window(self, company: str, query: bytes) -> Any:
        asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
        if not is_company_code(company):
            raise Refused(400, "no unified social credit code")
        try:
            hours = float(asked.get("hours", "72"))
            until = datetime.fromisoformat(asked["until"]) if "until" in asked else datetime.now(UTC)
        except ValueError:
            raise Refused(400, "hours or until cannot be read", hint="hours=72&until=2025-12-31T00:00:00") from None
        if not 0 < hours <= MOST_HOURS or not 1980 <= until.year <= 2100:
            raise Refused(400, "hours or until out of range", hint=f"up to {MOST_HOURS} hours, 1980 to 2100")
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        if asked.get("table") not in self._tables:
            raise Refused(404, "no such table", hint=f"one of {', '.join(sorted(self._tables))}")
        table, column, after = asked["table"], asked.get("column", ""), until - timedelta(hours=hours)
        loop = asyncio.get_running_loop()
        try:
            row = await loop.run_in_executor(
                self._readers, lambda: window_of(self._store, table, column, company=company, after=after, until=until)
            )
        except TableError as fault:
            raise Refused(400, "no such number in the table", hint=fault.expected) from None
        return {"company": company, "table": table, "column": column, "after": after, "until": until, **row}


def window_of(
    store: EventStore, table: str, column: str, *, company: str, after: datetime, until: datetime
) -> dict[str, Any]:
    """Count, sum and last of a company's column over facts known in (after, until]; without facts, 0 and nothing."""
    rows = store.window(table, column, after=after, until=until, company=company).to_pylist()
    empty = {"count": 0, "sum": None, "last": None}
    return {name: rows[0][name] for name in empty} if rows else empty


def _told(outcome: Outcome) -> Any:
    if isinstance(outcome, Malformed):
        raise Refused(outcome.status, outcome.found, hint=f"a JSON array of at most {MOST_EVENTS} events")
    if isinstance(outcome, NotStored):
        raise Refused(503, "nothing was stored", hint="send it again; the server's log names the reason")
    faults = [{"row": row, "reason": reason} for row, reason in outcome.quarantined]
    return {"accepted": outcome.accepted, "quarantined": faults, "batch": outcome.batch, "is_new": outcome.is_new}


def _require(method: str, expected: str) -> None:
    if method != expected:
        raise Refused(405, "another method", hint=expected)


async def _body(receive: Receive) -> bytes:
    """The whole body. One that is too large is read on for a while and dropped: who still sends hears no answer."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "half a body")
        part = message.get("body", b"")
        size += len(part)
        if size <= MOST_BYTES:
            parts.append(part)
        if not message.get("more_body") or size > MOST_DROPPED:
            break
    if size > MOST_BYTES:
        raise Refused(413, "a larger body", hint=f"at most {MOST_BYTES} bytes with {MOST_EVENTS} events")
    return b"".join(parts)


async def _reply(send: Send, status: int, answer: Any, more: Headers) -> None:
    body = msgspec.json.encode(answer)
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
