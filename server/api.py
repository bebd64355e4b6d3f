"""A desk's champion becomes the scoring service: scores, grades with path and reasons, models, health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path as Folder

from fastapi import FastAPI, Request, Response
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException

from fedcredit import __version__
from server.scoring import described, messages, shown
from server.scoring.door import Door, as_response, told
from server.scoring.gauges import Gauges
from server.scoring.grades import LEVEL, Grades
from server.scoring.messages import Batch, CompanyRows
from server.scoring.refusal import ScoringRefused, of_status
from server.scoring.repeats import Answer
from server.scoring.service import Service
from server.scoring.tokens import Caller
from server.scoring.waiting import Waiting

SCORE_ROLES = frozenset({"institution", "data_scientist"})
GRADE_ROLES = frozenset({"institution", "auditor"})
METRIC_ROLES = frozenset({"ops", "auditor"})
ALL_ROLES = frozenset({"institution", "data_scientist", "ops", "auditor"})
COMPANIES_A_REQUEST = 100  # of a batch count as one request more; one whose reasons are asked counts as one itself
MOST_BATCHES, MOST_REASONS = 6, 64  # under way: two are computed, the others wait
FOLLOW_SECONDS = 1.0
log = logging.getLogger(__name__)


def create_app(service: Service, door: Door, *, book: Folder, name: str) -> FastAPI:
    """The ASGI application; its life starts and ends what the service runs beside the requests."""
    grades, workers = Grades(book), ThreadPoolExecutor(2, thread_name_prefix="scoring")
    # What reads the book or the metrics never waits for batches, nor one for the other.
    readers, scrapes = ThreadPoolExecutor(2, thread_name_prefix="grades"), ThreadPoolExecutor(1, "metrics")
    batches, explained = Waiting(MOST_BATCHES, kind="batches"), Waiting(MOST_REASONS, kind="requests for reasons")
    door.registry.register(Gauges(service, book))

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        service.trials.start()
        service.champion.start()
        following = asyncio.create_task(_follow(door))
        yield
        following.cancel()
        service.champion.close()
        await asyncio.get_running_loop().run_in_executor(None, service.trials.close)
        for pool in (workers, readers, scrapes):
            pool.shutdown()
        grades.close()

    app = FastAPI(title="fedcredit scores", version=__version__, lifespan=live, docs_url=None, redoc_url=None)
    in_thread = asyncio.get_running_loop  # bound late: the loop is the server's

    async def one(caller: Caller, body: bytes) -> Answer:
        asked = messages.read(CompanyRows, body)
        if asked.reasons is None:
            return told(service.one(asked))
        with explained.one():
            door.take(caller, 1)
            score = service.one(asked)
            await in_thread().run_in_executor(workers, service.explain, [(asked, score)], LEVEL[caller.role])
        return told(score)

    async def many(caller: Caller, body: bytes) -> Answer:
        # A batch takes long enough to keep others waiting: it has a thread, single scores have the loop.
        with batches.one():
            batch = await in_thread().run_in_executor(workers, messages.read, Batch, body)
            reasons = sum(one.reasons is not None for one in batch.companies)
            door.take(caller, len(batch.companies) / COMPANIES_A_REQUEST + reasons)
            return told(await in_thread().run_in_executor(workers, service.many, batch, LEVEL[caller.role]))

    async def models(caller: Caller, _: bytes) -> Answer:
        trials = None if caller.role == "institution" else service.trials
        return told({"model": name, **shown.models(service.lineup(), fault=service.champion.fault, trials=trials)})

    async def metrics(_: Caller, __: bytes) -> Answer:
        return Answer(200, await in_thread().run_in_executor(scrapes, generate_latest, door.registry))

    asked, faults = described.ASKED, (400, 401, 403, 409, 413, 415, 422, 429, 500, 503)
    scores = {"scores": [described.SCORE, None], "refused": [{"at": 1, "fault": described.REFUSED}]}

    @app.post(
        "/score",
        openapi_extra=described.asks(CompanyRows, asked),
        responses=described.answers(messages.Score, described.SCORE, *faults),
    )
    async def score(request: Request) -> Response:
        """Score one company by the indicators that are sent; roles institution and data_scientist."""
        return await door.answer(request, "/score", SCORE_ROLES, one)

    @app.post(
        "/score/batch",
        openapi_extra=described.asks(Batch, {"companies": [asked]}),
        responses=described.answers(messages.Scores, scores, *faults),
    )
    async def score_batch(request: Request) -> Response:
        """Score up to 1000 companies; one that is refused stops no other. Roles institution and data_scientist."""
        return await door.answer(request, "/score/batch", SCORE_ROLES, many)

    @app.get(
        "/grades/{company}",
        openapi_extra={"parameters": [described.LANGUAGE]},
        responses=described.answers(messages.Path, None, 401, 403, 404, 422, 429, 500, 503),
    )
    async def grade(request: Request, company: str) -> Response:
        """A company's newest grade, its reasons, and its path; roles institution and auditor."""

        async def found(caller: Caller, _: bytes) -> Answer:
            now, hours = datetime.now(UTC), service.policy.fresh_hours
            language = messages.language_of(request.query_params.getlist("language"))
            path = await in_thread().run_in_executor(readers, grades.path, company, caller, now, hours, language)
            return told(path)

        return await door.answer(request, "/grades", GRADE_ROLES, found)

    @app.get("/models", responses=described.answers(None, {"model": name}, 401, 403, 429, 500, 503))
    async def which_models(request: Request) -> Response:
        """The models in force, and the indicators that the champion asks for; all roles."""
        return await door.answer(request, "/models", ALL_ROLES, models)

    @app.get("/metrics", responses=described.answers(None, "", 401, 403, 429, 500, media=described.TEXT))
    async def all_metrics(request: Request) -> Response:
        """Counts and times for Prometheus; roles ops and auditor."""
        answer = await door.answer(request, "/metrics", METRIC_ROLES, metrics)
        if answer.status_code == 200:
            answer.headers["content-type"] = "text/plain; version=0.0.4; charset=utf-8"
        return answer

    @app.get("/health", responses=described.answers(None, {"status": "ok"}, 503))
    async def health() -> Response:
        """Whether scores are answered; needs no token. Degraded: an older model answers than the desk says."""
        return _health(service)

    @app.exception_handler(HTTPException)
    async def other(_: Request, fault: HTTPException) -> Response:
        return as_response(of_status(fault.status_code), fault.headers)

    app.state.service = service
    page = app.openapi
    app.openapi = lambda: app.openapi_schema or described.completed(page())  # type: ignore[method-assign]
    return app


def _health(service: Service) -> Response:
    lineup = service.champion.lineup
    if lineup is None:
        fault = ScoringRefused(
            "service", code="no-champion", found=service.champion.fault or "no champion", expected="a promoted model"
        )
        return as_response(fault)
    verdict = service.champion.fault or service.health(lineup.champion)
    status = {"status": "degraded" if verdict else "ok", "model_version": lineup.champion.model_version, "why": verdict}
    return Response(told(status).body, media_type="application/json")


async def _follow(door: Door) -> None:
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        try:
            door.verifier.follow()
        except Exception as fault:  # revocations must count, whatever nobody thought of
            log.error("the token files were not followed: %s", type(fault).__name__)  # noqa: TRY400 - no traceback
