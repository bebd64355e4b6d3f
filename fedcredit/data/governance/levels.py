"""A field's level says in which form it may leave: the five levels of JR/T 0197-2020, and one rule over them."""

from __future__ import annotations

from collections.abc import Iterable

from fedcredit.data.schema import Schema
from fedcredit.errors import PolicyRefused, TableError

# JR/T 0197-2020, by whom and how much a disclosure harms; the words are ours.
LEVELS = {
    1: "public: no harm",
    2: "internal: little harm to a company or person",
    3: "restricted: harm to a company or person",
    4: "confidential: serious harm to a company or person, or harm to the public",
    5: "secret: harm to national security, or serious harm to the public",
}
UNKNOWN = 3  # of a column that nobody gave a level: schema.Column's own default
PRIVATE_ONLY = 4  # from here on, nothing leaves but a charged, private aggregate


def highest(levels: Iterable[int]) -> int:
    """The level of what is made from several fields: that of the most harmful one.

    >>> highest([2, 4, 3]), highest([])
    (4, 3)
    """
    return max(levels, default=UNKNOWN)


def level_of(schema: Schema) -> int:
    """The level of a table's rows as a model sees them: the highest of its feature columns.

    Raises:
        TableError: a column's level is none of the five.
    """
    for column in schema.columns:
        if column.level not in LEVELS:
            raise TableError(
                f"column {column.name!r}", found=f"level {column.level}", expected="1 to 5 of JR/T 0197-2020"
            )
    return highest(column.level for column in schema.columns)


def may_leave(level: int, *, is_private: bool, is_open: bool) -> bool:
    """Whether something computed from rows of this level may leave: `is_private` says charged and under noise.

    `is_open` is the operator's word that the rows are public, synthetic or consented to, or that nothing leaves the
    operator's own machine.

    >>> [may_leave(level, is_private=False, is_open=False) for level in LEVELS]
    [True, True, True, False, False]
    >>> may_leave(5, is_private=True, is_open=False)
    True
    """
    return level < PRIVATE_ONLY or is_private or is_open


def refuse_plain(level: int, *, what: str, is_private: bool, is_open: bool) -> None:
    """Refuse before anything is computed from the rows.

    Raises:
        PolicyRefused: the rows are of level 4 or 5, and `what` would be no charged, private aggregate of them.
    """
    if not may_leave(level, is_private=is_private, is_open=is_open):
        raise PolicyRefused(
            what,
            found=f"rows of level {level}, without privacy",
            expected="a charged, private aggregate, the only form in which level 4 and 5 leave",
            hint="a study with an epsilon and metrics: none; or open-rows in node_config, for public or synthetic rows",
        )
