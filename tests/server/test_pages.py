"""The operator's pages: links lead somewhere, and commands, sources and the policy are the program's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.test_readme import groups

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / path
    for path in (
        "server/README.md",
        "server/deploy/README.md",
        "docs/legal-basis.md",
        "docs/data-use-agreement.md",
        "docs/incident.md",
        "docs/promotion.md",
        "docs/scoring-service.md",
    )
]
VERBS = {name: set(group.commands) for name, group in groups().items()}
NAMED = re.compile(r"\bfedcredit (study|node|consortium|model) ([a-z]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / target).exists() or (target, page.name) == ("../clients/README.md", "README.md"), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    unknown = [
        f"{group} {verb}" for group, verb in NAMED.findall(page.read_text(encoding="utf-8")) if verb not in VERBS[group]
    ]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_that_a_page_names_in_deploy_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\bfedcredit-[a-z]+\.(?:service|timer|path)\b", text))
    named |= set(re.findall(r"\bcompose(?:\.node)?\.yaml\b|\balerts(?:-test)?\.yaml\b|\bprometheus\.yml\b", text))
    own = {"fedcredit-node.service"}  # written at the institution
    assert not [name for name in named - own if not (ROOT / "server" / "deploy" / name).exists()]


def test_every_file_of_deploy_stands_on_its_page() -> None:
    text = (ROOT / "server/deploy/README.md").read_text(encoding="utf-8")
    text += " fedcredit-superlink.service fedcredit-superexec.service fedcredit-metrics.service"
    text += " fedcredit-backup.timer fedcredit-backup.path"  # named there by their endings
    files = [path.name for path in (ROOT / "server/deploy").iterdir() if path.is_file() and path.suffix != ".py"]
    assert not [name for name in files if name not in text and name != "README.md"]


def test_every_source_has_a_row_of_legal_basis_with_its_holder() -> None:
    text = (ROOT / "docs/legal-basis.md").read_text(encoding="utf-8")
    sources = yaml.safe_load((ROOT / "fedcredit/data/sources.yaml").read_text(encoding="utf-8"))["sources"]
    rows = dict(re.findall(r"^\| (S\d\d) (.*)$", text, re.MULTILINE))
    assert sorted(rows) == [source["id"] for source in sources]
    for source in sources:
        cells = rows[source["id"]].split(" | ")
        assert cells[0].startswith(source["zh"]), source["id"]
        assert cells[1] == source["holder"]["zh"], source["id"]
        assert re.search(r"\b[AGPCB]\b", cells[3]), source["id"]


def test_every_page_of_law_says_that_it_is_not_advice() -> None:
    for name in ("legal-basis.md", "data-use-agreement.md"):
        assert "not legal advice" in (ROOT / "docs" / name).read_text(encoding="utf-8").replace("**", "").lower()


def test_the_alerts_of_the_page_are_those_of_the_rules() -> None:
    text = (ROOT / "server/deploy/README.md").read_text(encoding="utf-8").partition("## Alerts")[2]
    told = {name for row in re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \|", text, re.MULTILINE) for name in row.split(", ")}
    groups = yaml.safe_load((ROOT / "server/deploy/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    assert told == {rule["alert"] for group in groups for rule in group["rules"]}


def test_the_policy_of_the_annex_has_the_keys_of_a_policy() -> None:
    text = (ROOT / "docs/data-use-agreement.md").read_text(encoding="utf-8")
    (annex,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert set(yaml.safe_load(annex)) == {
        *("institution", "purposes", "studies", "columns", "highest_level", "epsilon", "noise_floor", "clip_ceiling"),
        *("smallest_cohort", "metrics", "require_masks", "hours", "expires", "stopped"),
    }


def test_gates_on_the_page_of_promotion_are_those_that_are_shipped() -> None:
    from server.promotion.gates import LIMITS, read_gates

    text = (ROOT / "docs" / "promotion.md").read_text(encoding="utf-8")
    for gate in read_gates():
        ((kind, limit),) = gate.limits.items()
        part = "" if gate.part == "value" else f", {gate.part}"
        said = f"{limit:g}" if isinstance(limit, float) else limit
        assert f"| {gate.name} | `{gate.figure}`{part} | {LIMITS[kind]} {said} | {gate.missing} |" in text
