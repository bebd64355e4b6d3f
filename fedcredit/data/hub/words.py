"""Cells of any kind become texts, each different one once, so that what is asked of a text is asked once."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def words_of(cells: pd.Series, *, is_code: bool = False) -> pa.DictionaryArray:
    """The cells as trimmed texts, each once; an empty one is missing. A code is also upper case and of half width.

    >>> words_of(pd.Series([" ９1a", "91A ", ""]), is_code=True).to_pylist()
    ['91A', '91A', None]
    """
    try:
        array = pa.array(cells, from_pandas=True)
    except (pa.ArrowException, TypeError, OverflowError):  # cells of several types
        array = pa.array([None if cell is None or cell != cell else str(cell) for cell in cells], pa.large_string())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.large_string()).dictionary_encode()
    texts = pc.utf8_trim_whitespace(array.dictionary.cast(pa.large_string()))
    if is_code:
        texts = pc.utf8_upper(pc.utf8_trim_whitespace(pc.utf8_normalize(texts, form="NFKC")))
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.large_string()), texts)
    unique = texts.dictionary_encode()  # two ways of writing may have become one
    return pa.DictionaryArray.from_arrays(unique.indices.take(array.indices), unique.dictionary)
