"""A file of company and person names becomes a set that a text is searched by, at a cost that hardly grows with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from fedcredit.data.governance.folding import fold, squeeze
from fedcredit.errors import TableError

NAME_COLUMNS = ("name", "representative", "名称", "企业名称", "公司名称", "法定代表人", "姓名")
SHORTEST = 2  # 张三
SHORTEST_LATIN = 5  # a shorter one would be found inside of words


@dataclass(frozen=True)
class Names:
    """Names by their first two letters, then by length, so that most places of a text cost one look.

    >>> names = Names.of(["杭州甲乙（集团）有限公司", "张三"])
    >>> names.spans("杭州甲乙集团有限公司的法人张三")
    [(0, 10), (13, 15)]
    """

    by_start: Mapping[str, tuple[int, ...]] = field(repr=False)
    whole: frozenset[str] = field(repr=False)
    left_out: int = 0

    @staticmethod
    def of(names: Iterable[str]) -> Names:
        """The set of these names, capitals, width and punctuation aside; `left_out` are too short to be told."""
        squeezed = [squeeze(*fold(name))[0] for name in names]
        whole = frozenset(name for name in squeezed if len(name) >= (SHORTEST_LATIN if name.isascii() else SHORTEST))
        lengths: dict[str, set[int]] = {}
        for name in whole:
            lengths.setdefault(name[:SHORTEST], set()).add(len(name))
        by_start = {start: tuple(sorted(sizes, reverse=True)) for start, sizes in lengths.items()}
        return Names(
            by_start, whole, sum(1 for name in squeezed if name) - sum(1 for name in squeezed if name in whole)
        )

    def __or__(self, other: Names) -> Names:
        """The names of both."""
        by_start = dict(self.by_start)
        for start, lengths in other.by_start.items():
            by_start[start] = tuple(sorted({*lengths, *by_start.get(start, ())}, reverse=True))
        return Names(by_start, self.whole | other.whole, self.left_out + other.left_out)

    def spans(self, squeezed: str) -> list[tuple[int, int]]:
        """Where a name stands in a folded and squeezed text, the longest at each place."""
        found, end = [], 0
        for place in range(len(squeezed) - SHORTEST + 1):
            for length in self.by_start.get(squeezed[place : place + SHORTEST], ()):
                if place + length > end and squeezed[place : place + length] in self.whole:
                    end = place + length
                    found.append((place, end))
                    break
        return found


@lru_cache(maxsize=64)
def read_names(path: Path) -> Names:
    """The names of a registry: one a line of a text file, or the name columns of a CSV or Parquet file.

    Where none of NAME_COLUMNS is there, the first column is taken. Read once a process.

    Raises:
        TableError: the file cannot be read, or holds no name; a node without its registry must not answer.
    """
    from fedcredit.data.cells import read_cells

    if path.suffix in (".csv", ".parquet"):
        frame = read_cells(path, text=NAME_COLUMNS)
        columns = [name for name in NAME_COLUMNS if name in frame] or list(frame.columns[:1])
        cells = [str(cell) for name in columns for cell in frame[name].dropna().unique()]
    else:
        cells = _lines(path)
    names = Names.of(cells)
    if not names.whole:
        raise TableError(path.name, found="no name", expected="one a line, or a column 'name'")
    return names


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise TableError(
            path.name, found=(fault.strerror or "a fault").lower(), expected="a registry of names"
        ) from None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding).splitlines()
        except UnicodeDecodeError:
            continue
    raise TableError(path.name, found="bytes of another encoding", expected="UTF-8 or GB 18030")
