"""Gains become plain text for a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedcredit.evaluation.figures import NOTHING, change, figure, lending, money, money_change, points, share
from fedcredit.evaluation.gain import Gain
from fedcredit.evaluation.plots import variant_name

WIDTH = 110
LABEL = 34  # columns of a line's first words
LEVEL = 14


def gain_text(gains: Sequence[Gain]) -> str:
    """Verdict, figures against each own model, groups and hashes of every institution, below 120 columns.

    Names come from outside: what would steer a terminal is left out of them.
    """
    told = [gain.as_dict() for gain in gains]
    blocks = ["\n".join(_institution(gain)) for gain in told]
    return "\n\n".join([*blocks, *(["\n".join(_once(told[0]))] if told else [])])


def _institution(gain: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrapped(f"{gain['institution']}: {gain['verdict'].upper()}", indent="")
    yield from _wrapped(f"{gain['reason']}. {gain['n']} rows of split {gain['split']}, {gain['positives']} defaults.")
    for against in gain["against"]:
        yield ""
        yield from _against(against)


def _against(against: Mapping[str, Any]) -> Iterator[str]:
    model = f" ({against['model']})" if against["model"] not in ("", against["baseline"]) else ""
    yield from _wrapped(f"against {against['baseline']}{model}: {against['reason']}")
    yield _line("", "own", "federated", "change, 95 % interval")
    changes, calibration = against["changes"], against["calibration"]
    for name, words, level, moved in (
        ("auc", "AUC", figure, change),
        ("ks", "KS", figure, change),
        ("bad_rate", "bad rate at own approval rate", share, points),
        ("approval_rate", "approval rate at own bad rate", share, points),
        ("expected_loss", "expected loss, 1,000 applicants", money, money_change),
    ):
        one = changes[name]
        yield _line(words, level(one["baseline"]), level(one["federated"]), moved(one))
    for name, words in (("ece", "calibration error (ECE)"), ("slope", "calibration slope (1 is right)")):
        yield _line(words, figure(calibration["baseline"][name]), figure(calibration["federated"][name]))
    for group in against["groups"]:
        if one := group["auc"]:
            words, size = f"AUC, {group['by']} {group['name']}", f"{group['n']} rows, {group['positives']} defaults"
            yield _line(words, figure(one["baseline"]), figure(one["federated"]), f"{change(one)}, {size}")
    small = [f"{group['by']} {group['name']}" for group in against["groups"] if not group["auc"]]
    if small:
        yield from _wrapped(f"too few of a class for an AUC: {', '.join(small)}", indent="    ")


def _once(gain: Mapping[str, Any]) -> Iterator[str]:
    """What holds for every institution: the model, the terms, the rule and the hashes."""
    yield from _wrapped(f"The model: {variant_name(gain['federated'])}. {lending(gain)}", indent="")
    yield from _wrapped(gain["rule"], indent="")
    yield f"config      {gain['config_sha256'] or NOTHING}"
    yield f"predictions {gain['predictions_sha256'] or NOTHING}"
    yield f"draws       {gain['draws']}, seed {gain['seed']}"


def _line(words: str, own: str, federated: str, moved: str = "") -> str:
    return f"    {_padded(words)}{own:>{LEVEL}}{federated:>{LEVEL}}  {moved}".rstrip()


def _wrapped(text: str, *, indent: str = "  ") -> list[str]:
    shown = _clean(text)
    width = WIDTH // 2 if any(map(_is_wide, shown)) else WIDTH
    return textwrap.wrap(shown, width, initial_indent=indent, subsequent_indent=indent)


def _clean(text: str) -> str:
    return "".join(letter for letter in str(text) if unicodedata.category(letter)[0] != "C")


def _padded(text: str) -> str:
    """Cut or filled to `LABEL` columns."""
    shown, used = "", 0
    for letter in _clean(text):
        columns = 2 if _is_wide(letter) else 1
        if used + columns > LABEL:
            break
        shown, used = shown + letter, used + columns
    return shown + " " * (LABEL - used)


def _is_wide(letter: str) -> bool:
    """Whether a letter takes two columns, as Chinese does."""
    return unicodedata.east_asian_width(letter) in "WF"
