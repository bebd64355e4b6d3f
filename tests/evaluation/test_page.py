"""The page: whole in itself, and safe whatever an institution calls itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from fedcredit.evaluation.markdown import markdown
from fedcredit.evaluation.page import page

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Tags(HTMLParser):
    """Checks that elements close in the order in which they opened, and collects their attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def html(report: dict[str, Any]) -> str:
    return page(report)


def read(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return tags


def test_the_page_needs_nothing_from_outside(html: str) -> None:
    for name, value in read(html).attributes:
        if name in ("src", "href", "xlink:href", "action"):
            assert (value or "").startswith("#")
    assert "url(http" not in html
    assert "@import" not in html
    assert "<script" not in html
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_gain_comes_first_with_a_verdict_for_each_institution(html: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings[:3] == ["What do I gain by joining?", "Asked and measured", "Local, federated, pooled"]
    assert len(re.findall(r'class="chip (?:join|do-not-join|not-proven)"', html)) == 5


def test_names_are_shown_and_never_become_markup(html: str) -> None:
    assert "<b>&co" not in html
    shown = "".join(read(html).text)
    for name in ("杭州银行", "A<b>&co", "$x_1$|y", "_under"):
        assert name in shown


def test_an_attack_in_every_text_stays_text(report: dict[str, Any]) -> None:
    attack = '"><script>alert(1)</script>'
    rows = [{**row, "institution": attack, "method": attack, "model": attack} for row in report["rows"]]
    gain = [{**one, "institution": attack, "reason": attack} for one in report["gain"]]
    hostile = {**report, "rows": rows, "gain": gain, "study": attack, "privacy": [attack], "machine": {attack: attack}}
    assert "<script" not in page(hostile)
    assert "<script" not in markdown(hostile)


def test_figures_are_rounded_for_people(html: str) -> None:
    assert re.search(r"[+-]\.\d{3} \[[+-]\.\d{3}, [+-]\.\d{3}\]", html)
    assert "nan" not in "".join(read(html).text).lower().split()
    assert not re.search(r"\d\.\d{7,}", re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))


def test_a_report_of_a_study_without_arms_to_compare_still_has_a_page(report: dict[str, Any]) -> None:
    bare = {
        **report,
        **{name: [] for name in ("rows", "comparisons", "gain", "targets", "privacy", "rounds")},
        "curves": {"roc": [], "reliability": []},
    }
    assert "What do I gain" not in page(bare)
    assert markdown(bare).startswith("# quickstart")


def test_the_question_stands_under_the_title(report: dict[str, Any]) -> None:
    asked = {**report, "question": "Does <it> pay?"}
    assert '<p class="question">Does &lt;it&gt; pay?</p>' in page(asked)
    assert markdown(asked).splitlines()[2] == "Does &lt;it&gt; pay?"
    assert 'class="question"' not in page(report)


def test_updates_that_were_not_used_are_listed(report: dict[str, Any]) -> None:
    assert "Quarantined or late" not in page(report) + markdown(report)
    fates: dict[int, dict[str, Any]] = {1: {"quarantined": {"A<b>&co": "not_finite"}}, 2: {"missing": ["Bank E"]}}
    rounds = [{**one, "quarantined": {}, "missing": [], **fates.get(one["round"], {})} for one in report["rounds"]]
    told = {**report, "rounds": rounds}
    shown = "".join(read(page(told)).text)
    assert "quarantined: not_finite" in shown
    assert "late: nothing came in time" in shown
    assert "seed 0: 2; seed 1: 2; seed 2: 2" in shown
    assert "| federated fedavg, epsilon 3 | A&lt;b&gt;&amp;co | quarantined: not\\_finite | 3 |" in markdown(told)


def test_delongs_intervals_stand_among_all_comparisons(html: str) -> None:
    headline, everything = html.split("<summary>All ")
    assert "<th>DeLong's interval</th>" not in headline
    assert re.search(r"<td>\[[+-]\.\d{3}, [+-]\.\d{3}\]</td>", everything)


def test_a_report_of_an_earlier_version_still_has_a_page(report: dict[str, Any]) -> None:
    newer = ("delong_low", "delong_high")
    compared = [{name: value for name, value in one.items() if name not in newer} for one in report["comparisons"]]
    earlier = {name: value for name, value in report.items() if name not in ("schema_sha256", "data_sha256")}
    assert "DeLong" in page({**earlier, "comparisons": compared})


def test_markdown_tables_have_the_same_number_of_cells_in_each_line(report: dict[str, Any]) -> None:
    text = markdown(report)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1
    assert "A&lt;b&gt;&amp;co" in text
    assert r"\$x\_1\$\|y" in text
