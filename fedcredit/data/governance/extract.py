"""A table becomes an extract that may be shown to more people: each column blunted as its level asks."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import numpy as np
import pandas as pd

from fedcredit.data.governance.levels import UNKNOWN
from fedcredit.errors import ConfigError

KEY_BYTES = 16


def mask_columns(frame: pd.DataFrame, levels: Mapping[str, int], *, key: bytes) -> pd.DataFrame:
    """Levels 1 and 2 as they are, 3 rounded or cut, 4 as order of magnitude or keyed digest, 5 left out.

    A column without a level counts as level 3. The digest is an HMAC-SHA256, so that extracts made with one key can be
    joined, and only its holder can try codes against it: that is pseudonymous, not anonymous.

    >>> frame = pd.DataFrame({"company": ["9144030071526726XG"], "name": ["某某科技公司"], "sales": [1234.5]})
    >>> print(*mask_columns(frame, {"company": 4, "name": 3, "sales": 3}, key=b"0" * 16).iloc[0])
    95de7a73cd167eb9 某某* 1000.0
    """
    if len(key) < KEY_BYTES:
        raise ConfigError("key", found=f"{len(key)} bytes", expected=f"{KEY_BYTES} or more, from `secrets`")
    kept = {name: cells for name, cells in frame.items() if levels.get(str(name), UNKNOWN) < 5}
    return pd.DataFrame(
        {name: _blunted(cells, levels.get(str(name), UNKNOWN), key=key) for name, cells in kept.items()},
        index=frame.index,
    )


def _blunted(cells: pd.Series, level: int, *, key: bytes) -> pd.Series:
    if level <= 2:
        return cells
    if cells.dtype.kind in "fiu":
        return _rounded(cells) if level == 3 else _rounded(cells).map(_magnitude)
    text = cells.astype("str")
    if level == 3:
        return (text.str[:2] + "*").where(cells.notna())
    digests = {one: hmac.new(key, str(one).encode(), hashlib.sha256).hexdigest()[:16] for one in text.unique()}
    return text.map(digests).where(cells.notna())


def _rounded(cells: pd.Series) -> pd.Series:
    """One significant digit."""
    size = cells.astype("float64").abs()
    power = pd.Series(10.0 ** np.floor(np.log10(size.where(size > 0, 1.0))), index=cells.index)
    return (cells / power).round() * power


def _magnitude(number: float) -> float:
    return float(np.sign(number) * 10 ** np.floor(np.log10(abs(number)))) if number else number
