"""The mapping from texts to sections names what exists, and says what is not covered."""

from __future__ import annotations

from server.validation.law import NO_ADVICE, law_section, texts
from server.validation.sections import SECTIONS


def test_every_text_that_was_asked_for_is_there() -> None:
    assert set(texts()) == {
        "sr26_2",
        "eu_ai_act",
        "pipl",
        "dsl",
        "credit_reporting",
        "jrt_0197",
        "competition",
        "edpb_28_2024",
        "reasons",
    }


def test_every_row_names_sections_that_exist_and_what_is_not_covered() -> None:
    for one in texts().values():
        for row in one.rows:
            assert row.sections
            assert set(row.sections) <= set(SECTIONS)
            assert row.asks
            assert row.met
            assert row.uncovered


def test_rescinded_guidance_is_not_cited() -> None:
    everything = " ".join(f"{one.title} {one.note} {one.rows}" for one in texts().values())
    assert "SR 11-7" not in everything
    assert "SR 26-2" in everything


def test_section_says_that_it_is_no_advice_and_how_each_text_is_known() -> None:
    section = law_section({key: key for key in SECTIONS})
    assert section.says[0] == NO_ADVICE
    assert all("ecalled" in sentence or "secondary" in sentence for sentence in section.says[1:])
