"""Verdicts of gates become the refusal that a person reads: the gate, the value found, its limit, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.errors import PolicyRefused
from server.promotion.evidence import Evidence
from server.promotion.gates import Verdict, failed


class GateRefused(PolicyRefused):
    """A gate refuses the candidate: it is named with the value found and its limit."""

    code = "gate"


def refusal_of(verdicts: Sequence[Verdict], evidence: Evidence) -> GateRefused | None:
    """The first gate that refuses, the others in its hint; None where all let pass."""
    refusing = failed(verdicts)
    if not refusing:
        return None
    first, others = refusing[0], refusing[1:]
    figure = evidence.figures.get(first.figure.partition(",")[0])
    hint = "mend the model or its data and validate it again; gates are changed by their approvers only"
    if first.value is None:
        why = f" ({figure.about})" if figure is not None and figure.about else ""
        hint = f"the validation does not know this figure{why}; make it known and validate again"
    if others:
        hint += "; also refused: " + "; ".join(str(one).removesuffix(": refused") for one in others)
    found = "none" if first.value is None else f"{first.value:g}"
    return GateRefused(f"gate '{first.gate}'", found=f"{first.figure} {found}", expected=first.limit, hint=hint)
