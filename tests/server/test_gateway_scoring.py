"""Members reach the scoring service by their certificates through the real gateway; nobody else, and no other way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fedcredit.errors import ConfigError
from server.consortium.settings import Settings
from server.scoring.tokens import issue
from tests.link.world import Line, World, tls_client
from tests.server.scoring.world import Serving, asked


@dataclass
class Both:
    """A gateway with a scoring service behind it."""

    world: World
    serving: Serving

    def token(self, role: str, of: str | None = "harbour") -> dict[str, str]:
        """The header of a new token, bound to the certificate of that member."""
        certificate = {**self.world.institutions, **self.world.operators}[of].fingerprint if of else None
        made = issue(self.serving.keys, name="li", role=role, days=1, certificate=certificate)[0]
        return {"Authorization": f"Bearer {made}"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    serving = Serving(folder / "scores").start()
    (folder / "link").mkdir()
    world = World.make(folder / "link", require_pq=False)
    try:
        world.open_gateway(replace(world.place, scoring=f"127.0.0.1:{serving.port}"))
        yield Both(world, serving)
    finally:
        world.close()
        serving.stop()


@pytest.fixture
def line(both: Both) -> Iterator[Callable[[str], Line]]:
    opened: list[Line] = []

    def connect(name: str) -> Line:
        one = {**both.world.institutions, **both.world.operators}[name]
        opened.append(Line(both.world.port, tls=tls_client(both.world, one)))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def body(value: Any) -> bytes:
    """A request's."""
    return json.dumps(value).encode()


JSON = {"Content-Type": "application/json"}


def test_an_institution_scores_by_its_certificate_and_its_token(both: Both, line: Callable[[str], Line]) -> None:
    harbour, token = line("harbour"), both.token("institution")
    answer = harbour.ask("POST", "/v1/score", headers=JSON | token, body=body(asked()))
    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["company"] == "company-a"
    batch = harbour.ask("POST", "/v1/score/batch", headers=JSON | token, body=body({"companies": [asked()]}))
    assert json.loads(batch.body)["scores"][0]["arm"] == "champion"
    company = "grades/%E6%9F%90"
    for path, status in (
        ("models", 200),
        ("health", 200),
        ("openapi.json", 200),
        (company, 404),
        (f"{company}?language=zh", 404),
    ):
        assert harbour.ask("GET", f"/v1/score/{path}", headers=token).status == status, path
    assert line("ops").ask("GET", "/v1/score/metrics", headers=both.token("ops", "ops")).status == 200


def test_a_certificate_without_a_token_or_a_token_of_another_certificate_scores_nothing(
    both: Both, line: Callable[[str], Line]
) -> None:
    cards = both.world.institutions
    harbour = line("harbour")
    assert harbour.ask("POST", "/v1/score", headers=JSON, body=body(asked())).status == 401
    own, others = both.token("institution", "harbour"), both.token("institution", "meadow")
    assert harbour.ask("POST", "/v1/score", headers=JSON | own, body=body(asked())).status == 200
    claimed = {"fedcredit-certificate": cards["meadow"].fingerprint}
    for headers in (others, others | claimed):
        assert harbour.ask("POST", "/v1/score", headers=JSON | headers, body=body(asked())).status == 401


def test_a_token_that_is_bound_to_no_certificate_scores_for_no_member(both: Both, line: Callable[[str], Line]) -> None:
    unbound = both.token("institution", None)
    answer = line("harbour").ask("POST", "/v1/score", headers=JSON | unbound, body=body(asked()))
    assert answer.status == 401
    assert "serve token --certificate" in json.loads(answer.body)["hint"]


def test_an_institution_s_program_asks_through_its_node_s_tunnel(both: Both) -> None:
    harbour = both.world.institutions["harbour"]
    port = both.world.tunnel(both.world.ends(harbour, require_pq=False))
    token, host = both.token("institution"), f"127.0.0.1:{port}"
    line = Line(port)
    try:
        answer = line.ask("POST", "/v1/score", headers=JSON | token, body=body(asked()), host=host)
        assert answer.status == 200, answer.body
        assert line.ask("GET", "/v1/score/grades/nobody", headers=token, host=host).status == 404
        assert line.ask("GET", "/v1/score/grades/a/../b", headers=token, host=host).status == 403
        assert line.ask("GET", "/v1/score/models", headers=token | {"Origin": "http://x"}, host=host).status == 403
    finally:
        line.close()


def test_who_has_left_is_refused_whatever_the_token(both: Both, line: Callable[[str], Line]) -> None:
    answer = line("left").ask("POST", "/v1/score", headers=JSON | both.token("institution", "left"), body=body(asked()))
    assert answer.status == 403


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/score/metrics"),
        ("GET", "/v1/score"),
        ("POST", "/v1/score/"),
        ("POST", "/v1/score/models"),
        ("POST", "/v1/score?x=1"),
        ("POST", "/v1/score/../control/start-run"),
        ("GET", "/v1/score/grades/../metrics"),
        ("GET", "/v1/score/grades/a/b"),
        ("GET", "/v1/score/grades/.."),
        ("GET", "/v1/score/grades/a?language=fr"),
        ("GET", "/v1/score/grades/a?language=zh&language=en"),
        ("GET", "/v1/score/docs"),
        ("POST", "/score"),
    ],
)
def test_any_other_way_is_closed(both: Both, line: Callable[[str], Line], method: str, target: str) -> None:
    headers = JSON | both.token("auditor")
    assert line("harbour").ask(method, target, headers=headers, body=b"").status == 403


def test_a_larger_body_is_refused_at_the_gateway(both: Both, line: Callable[[str], Line]) -> None:
    long = {"Content-Length": "10000000"} | JSON | both.token("institution")
    assert line("harbour").ask("POST", "/v1/score", headers=long).status == 413


def test_without_a_scoring_service_there_is_no_way(both: Both, line: Callable[[str], Line]) -> None:
    try:
        both.world.open_gateway(both.world.place)
        answer = line("harbour").ask("POST", "/v1/score", headers=JSON | both.token("institution"), body=body(asked()))
        assert answer.status == 403
    finally:
        both.world.open_gateway(replace(both.world.place, scoring=f"127.0.0.1:{both.serving.port}"))


def test_a_scoring_service_is_on_loopback() -> None:
    assert Settings("sme", "gw.example:443", scoring="127.0.0.1:8790").scoring
    with pytest.raises(ConfigError, match="an address on loopback"):
        Settings("sme", "gw.example:443", scoring="scores.example:8790")
