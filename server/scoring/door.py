"""A request becomes an answer: caller, role, limit, body and key are looked at first, and every fault has one form."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from fastapi import Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect

from server.scoring.limits import Limits
from server.scoring.messages import MOST_BYTES
from server.scoring.refusal import ScoringRefused
from server.scoring.repeats import Answer, Repeats
from server.scoring.tokens import Caller
from server.scoring.verifier import Verifier

CERTIFICATE_HEADER = "fedcredit-certificate"  # set by the gateway, which takes it away from whoever else sends it
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
PASS_OVER_SECONDS = 2.0  # for the rest of a request that is refused
log = logging.getLogger(__name__)
Work = Callable[[Caller, bytes], Awaitable[Answer]]


class Door:
    """What every address of the service has in common."""

    def __init__(self, verifier: Verifier, limits: Limits, repeats: Repeats, *, failures: Limits) -> None:
        self.verifier, self._limits, self._repeats, self._failures = verifier, limits, repeats, failures
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "fedcredit_scoring_answers", "Answers by address and status.", ["address", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "fedcredit_scoring_seconds", "Time to an answer.", ["address"], buckets=BUCKETS, registry=self.registry
        )

    async def answer(self, request: Request, address: str, roles: frozenset[str], work: Work) -> Response:
        """The answer of `work`, or the refusal of whatever stands before it."""
        began = time.perf_counter()
        headers: dict[str, str] = {}
        try:
            answer = await self._answered(request, address, roles, work)
            if answer.is_repeat:
                headers["Idempotency-Replayed"] = "true"
        except ScoringRefused as fault:
            answer = Answer(fault.status, fault.body())
            headers = refusal_headers(fault)
        except Exception as fault:  # its text may quote a cell
            log.error("a request failed: %s", type(fault).__name__)  # noqa: TRY400
            unknown = ScoringRefused(
                "service", code="server", found="a fault", expected="an answer", hint="see its log"
            )
            answer = Answer(unknown.status, unknown.body())
        self._seconds.labels(address).observe(time.perf_counter() - began)
        self._answers.labels(address, answer.status).inc()
        return Response(answer.body, answer.status, headers, media_type="application/json")

    async def _answered(self, request: Request, address: str, roles: frozenset[str], work: Work) -> Answer:
        try:
            caller = self._admitted(request, address, roles)
            body = await body_of(request) if request.method == "POST" else b""
        except ScoringRefused as fault:
            if fault.code != "size":  # that one ends the connection
                await pass_over(request)
            raise
        if request.method != "POST":
            return await work(caller, body)
        key = request.headers.get("idempotency-key")
        return await self._repeats.once((caller.jti, address), key, body, lambda: work(caller, body))

    def _admitted(self, request: Request, address: str, roles: frozenset[str]) -> Caller:
        """Who asks, if it is somebody who may, and not too often."""
        caller = self._caller(request.headers.get("authorization"), request.headers.get(CERTIFICATE_HEADER))
        self._limits.take(caller.jti)
        if caller.role not in roles:
            found, expected = f"role {caller.role}", f"one of {', '.join(sorted(roles))}"
            raise ScoringRefused(address, code="role", found=found, expected=expected)
        return caller

    def _caller(self, header: str | None, certificate: str | None) -> Caller:
        """Who asks. Tokens that are refused are counted by certificate, all those that come without one together."""
        whose = (certificate or "")[:64]
        if whose and not self.verifier.knows(header):
            self._failures.look(whose)  # before a signature is verified; only who sent the bad ones waits
        try:
            return self.verifier.caller(header, certificate=certificate)
        except ScoringRefused:
            self._failures.take(whose)
            raise

    def take(self, caller: Caller, cost: float) -> None:
        """Count more than one request of this caller."""
        self._limits.take(caller.jti, cost=cost)


async def body_of(request: Request) -> bytes:
    """The JSON body. Raises ScoringRefused as soon as it is seen, or announced, to be too long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ScoringRefused("Content-Type", code="content-type", found="another type", expected="application/json")
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:12]) > MOST_BYTES:
        raise _too_long()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _too_long()
        parts.append(part)
    return b"".join(parts)


async def pass_over(request: Request) -> None:
    """Read a refused request to its end, for a while, and keep nothing.

    An answer that reaches a gateway before the request's end makes it stop reading, and may be cut off behind its head.
    """
    left = MOST_BYTES
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(PASS_OVER_SECONDS):
            async for part in request.stream():
                left -= len(part)
                if left < 0:
                    return


def _too_long() -> ScoringRefused:
    hint = "send fewer companies at once"
    return ScoringRefused("body", code="size", found="a larger body", expected=f"at most {MOST_BYTES} bytes", hint=hint)


def refusal_headers(fault: ScoringRefused) -> dict[str, str]:
    """What goes with a refusal: when to come again, how to sign in, and that the rest of a body is not read."""
    if fault.code == "rate":
        return {"Retry-After": fault.hint.split()[-2]}
    extra = {
        "busy": {"Retry-After": "1"},
        "no-champion": {"Retry-After": "5"},
        "token": {"WWW-Authenticate": 'Bearer realm="fedcredit"'},
        "size": {"Connection": "close"},
    }
    return dict(extra.get(fault.code, {}))


def told(value: Any, status: int = 200) -> Answer:
    """A value as an answer in JSON."""
    return Answer(status, msgspec.json.encode(value))


def as_response(fault: ScoringRefused, more: Mapping[str, str] | None = None) -> Response:
    """A refusal outside of every address."""
    headers = {**refusal_headers(fault), **(more or {})}
    return Response(fault.body(), fault.status, headers, media_type="application/json")
