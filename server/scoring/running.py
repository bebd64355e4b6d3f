"""The folder of a desk and the folder of its keys become the listening scoring service."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI

from server.api import create_app
from server.binding import bind
from server.promotion.desk import Desk
from server.scoring.champion import Champion
from server.scoring.door import Door
from server.scoring.limits import Limits
from server.scoring.policy import Policy
from server.scoring.repeats import Repeats
from server.scoring.service import Service
from server.scoring.trials import Trials
from server.scoring.verifier import Verifier

SECONDS_TO_FINISH = 10
IDLE_SECONDS = 30  # an open connection that nobody uses; the gateway lets go sooner
MOST_UNDER_WAY = 1000
FAILED_SHARE, FAILED = 0.1, "too many tokens that are not taken"  # of a token's rate, those of one certificate
BOOK, TRIALS = "scores.sqlite", "trials"


def desk_of(runs: Path, name: str) -> Path:
    """Where the desk of a registered model is."""
    return runs / "models" / name


def application(desk: Path, keys: Path, policy: Policy, *, book: Path | None = None) -> FastAPI:
    """The service of a desk. Raises ConfigError: there is no key to verify tokens with."""
    torch.set_num_threads(1)  # one company is too little work to share
    limits = Limits(per_second=policy.per_second, burst=policy.burst)
    failures = Limits(per_second=FAILED_SHARE * policy.per_second, burst=FAILED_SHARE * policy.burst, found=FAILED)
    door = Door(Verifier(keys), limits, Repeats(), failures=failures)
    champion = Champion(Desk(desk), policy)
    service = Service(champion, policy, Trials(desk / TRIALS))
    return create_app(service, door, book=book or desk / BOOK, name=desk.name)


def listen(app: FastAPI, *, host: str, port: int, on_listening: Callable[[str], None] = lambda at: None) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first. Raises ConfigError: no such address."""
    with bind(host, port) as listener:
        server = uvicorn.Server(settings(app))
        name = f"[{host}]" if ":" in host else host
        gc.collect()
        gc.freeze()  # what is here stays: the collector need not look at it during requests
        on_listening(f"http://{name}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])


def settings(app: FastAPI) -> uvicorn.Config:
    """uvicorn without its access log: a request's line may name a company."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        access_log=False,
        ws="none",
        log_level="warning",
        lifespan="on",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_UNDER_WAY,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
