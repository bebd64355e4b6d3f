"""Rows that were scored become the reasons for their grades, for a viewer of a level, in a language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from fedcredit.credit.sentences import as_dict
from fedcredit.data.schema import Schema
from fedcredit.data.tables import check
from fedcredit.errors import FedCreditError
from fedcredit.explain import can_compare, explain
from server.scoring.lineup import Served
from server.scoring.messages import Row
from server.scoring.refusal import ScoringRefused
from server.scoring.rows import PERIOD


def reasons_for(
    served: Served, companies: Sequence[Sequence[Row]], *, level: int, language: Literal["zh", "en"]
) -> list[dict[str, Any]]:
    """One object a company, in order; what is above the level is neither named nor weighed in it.

    Raises:
        ScoringRefused: the model's indicators have no typical values to compare with.
    """
    schema = served.bundle.schema
    if not can_compare(schema):
        raise ScoringRefused(
            "reasons",
            "reasons",
            found="a model whose indicators have no typical values",
            expected="indicators of the dictionary",
            hint="ask without reasons",
        )
    needed = Schema(schema.columns, schema.label, schema.company, schema.period)
    told = {name: schema.period for name in (PERIOD,) if schema.period is not None}
    rows = [
        {**{told.get(name, name): cell for name, cell in row.items()}, schema.company: str(number)}
        for number, company in enumerate(companies)
        for row in company
    ]
    frame = pd.DataFrame(rows).assign(**{schema.label.column: 0}).reindex(columns=_columns(needed))
    try:
        found = explain(served.bundle, check(frame, needed, where="rows", allow_gaps=True), level=level)
        where = {company: row for row, company in enumerate(found.scores["company"])}
        return [as_dict(found.reasons, where[str(number)], language=language) for number in range(len(companies))]
    except (FedCreditError, KeyError):  # the words of the former may quote a cell
        raise ScoringRefused("reasons", "reasons", found="rows that cannot be explained", expected="others") from None


def _columns(schema: Schema) -> list[str]:
    keys = [name for name in (schema.company, schema.period) if name is not None]
    return list(dict.fromkeys([*keys, *schema.features, schema.label.column]))
