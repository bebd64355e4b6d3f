"""Codes of companies, people and cards become facts: which are well formed; and valid company codes on demand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import TableError

if TYPE_CHECKING:  # the rim of the program masks its errors by this file, and starts without them
    import pandas as pd

# GB 32100-2015, the unified social credit code (USCC): department, category, six digits of division, nine characters
# of organisation code (GB 11714-1997, the last its own check), one check character over all.
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # without I O S V Z
USCC_DEPARTMENTS = "123456789ANY"
USCC_CATEGORIES = "1234569"
USCC_LENGTH = 18
_WEIGHTS = np.array([3**i % 31 for i in range(17)])
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2])
_ORGANISATION_CHECKS = "0X987654321"  # by the sum modulo 11
MAX_SERIAL = 31**8

# GB 11643-1999, the citizen's number: division, date of birth, order, check character (ISO 7064 MOD 11-2).
PROVINCES = frozenset(
    {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83, 91}
)
_ID_WEIGHTS = tuple(2**i % 11 for i in range(17, 0, -1))
_ID_CHECKS = "10X98765432"  # by the sum modulo 11


def is_uscc(codes: Sequence[str] | pd.Series) -> NDArray[np.bool_]:
    """Whether each text is a unified social credit code of GB 32100-2015, its two check characters included.

    Letters must be upper case, as the standard writes them; a missing cell, or one that is no text, is no code.

    >>> is_uscc(["914403001922038216", "914403001922038217", "91440300192203821", "91440300192203821O"]).tolist()
    [True, False, False, False]
    """
    import pyarrow.compute as pc

    texts = _texts(codes)
    fits = pc.fill_null(pc.equal(pc.binary_length(texts), USCC_LENGTH), False)
    found = np.asarray(fits.to_numpy(zero_copy_only=False), dtype=np.bool_)
    whole = texts if found.all() else texts.filter(fits)
    if len(whole):
        found[found] = _is_valid(_letters(whole))
    return found


def uscc(division: ArrayLike, serial: ArrayLike) -> NDArray[np.str_]:
    """Valid codes of enterprises (department 9, category 1) of a division, numbered by `serial`: one serial, one code.

    Divisions 990001 to 990099 belong to no place: what is made with them cannot be the code of a real company.

    Raises:
        TableError: a division has not six digits, or a serial is below 0 or 31**8 and more.

    >>> uscc(990001, [0, 1, 852_891_037_440]).tolist()
    ['91990001000000000K', '91990001000000019G', '91990001YYYYYYYY7D']
    """
    divisions, serials = np.broadcast_arrays(np.asarray(division, np.int64), np.asarray(serial, np.int64))
    divisions, serials = divisions.reshape(-1), serials.reshape(-1)
    if divisions.size and not (divisions.min() >= 100_000 and divisions.max() <= 999_999):
        raise TableError("division", found="another number", expected="six digits, 100000 to 999999")
    if serials.size and not (serials.min() >= 0 and serials.max() < MAX_SERIAL):
        raise TableError("serial", found="another number", expected="0 to 31**8 - 1")
    made = np.empty((len(serials), USCC_LENGTH), np.uint8)
    made[:, 0], made[:, 1] = ord("9"), ord("1")
    made[:, 2:8] = _bytes("0123456789")[_digits(divisions, base=10, width=6)]
    made[:, 8:16] = _bytes(USCC_ALPHABET)[_digits(serials, base=31, width=8)]
    made[:, 16] = _organisation_check(made)
    made[:, 17] = _check(made)
    return made.reshape(-1).view(f"S{USCC_LENGTH}").astype(f"U{USCC_LENGTH}")


def is_company_code(code: str) -> bool:
    """Whether one text is what `is_uscc` looks for; a thousand times faster on one.

    >>> is_company_code("9144030071526726XG"), is_company_code("9144030071526726X6")
    (True, False)
    """
    form = len(code) == USCC_LENGTH and code[0] in USCC_DEPARTMENTS and code[1] in USCC_CATEGORIES
    if not form or not (code[2:8].isascii() and code[2:8].isdecimal()) or any(c not in USCC_ALPHABET for c in code):
        return False
    own = sum(int(letter, 36) * int(weight) for letter, weight in zip(code[8:16], _ORGANISATION_WEIGHTS, strict=True))
    total = sum(USCC_ALPHABET.index(letter) * int(weight) for letter, weight in zip(code, _WEIGHTS, strict=False))
    return code[16] == _ORGANISATION_CHECKS[own % 11] and code[17] == USCC_ALPHABET[-total % 31]


def is_citizen_id(code: str) -> bool:
    """Whether 18 characters are a citizen's number: a province, a day that was, and the check character.

    >>> is_citizen_id("11010519491231002X"), is_citizen_id("110105194912310021"), is_citizen_id("11010519491331002X")
    (True, False, False)
    """
    if len(code) != 18 or not (code[:17].isascii() and code[:17].isdecimal()) or int(code[:2]) not in PROVINCES:
        return False
    try:
        born = date(int(code[6:10]), int(code[10:12]), int(code[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(code, _ID_WEIGHTS, strict=False))
    return 1850 <= born.year <= 2100 and code[17] == _ID_CHECKS[total % 11]


def is_bank_card(digits: str) -> bool:
    """Whether 16 to 19 digits are a card's number: an issuer's first digit, and the check digit of ISO/IEC 7812 (Luhn).

    >>> is_bank_card("4111111111111111"), is_bank_card("4111111111111112")
    (True, False)
    """
    if not (16 <= len(digits) <= 19 and digits.isascii() and digits.isdecimal()) or digits[0] not in "345689":
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[::-2])) % 10 == 0


def _texts(codes: Sequence[str] | pd.Series) -> Any:
    import pyarrow as pa

    try:
        texts = pa.array(codes, pa.large_string(), from_pandas=True)
    except (pa.ArrowException, UnicodeError):  # a number among them, or half of a surrogate pair
        plain = [code if isinstance(code, str) and code.isascii() else None for code in codes]
        texts = pa.array(plain, pa.large_string())
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _letters(texts: Any) -> NDArray[np.uint8]:
    """(n, 18) bytes of an array whose every text has 18: they lie one behind the other in one buffer."""
    begin = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset]
    size = len(texts) * USCC_LENGTH
    return np.frombuffer(texts.buffers()[2], np.uint8)[begin : begin + size].reshape(-1, USCC_LENGTH)


def _bytes(letters: str) -> NDArray[np.uint8]:
    return np.frombuffer(letters.encode(), np.uint8)


def _values(letters: str) -> NDArray[np.float32]:
    """By byte, the place of a letter among `letters`; -inf for every other byte, so that no sum hides it."""
    table = np.full(256, -np.inf, np.float32)
    table[_bytes(letters)] = np.arange(len(letters))
    return table


_VALUES = _values(USCC_ALPHABET)
_ORGANISATION_VALUES = _values("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FIRST = np.isin(np.arange(256), _bytes(USCC_DEPARTMENTS))
_SECOND = np.isin(np.arange(256), _bytes(USCC_CATEGORIES))
_DIGIT = np.isin(np.arange(256), _bytes("0123456789"))


def _is_valid(letters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    fits = _FIRST[letters[:, 0]] & _SECOND[letters[:, 1]] & _DIGIT[letters[:, 2:8]].all(axis=1)
    fits &= np.isfinite(_VALUES)[letters].all(axis=1)
    own = letters[fits]
    fits[fits] = (_organisation_check(own) == own[:, 16]) & (_check(own) == own[:, 17])
    return fits


def _check(letters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The last character: the one that makes the sum weighted by powers of 3 divisible by 31."""
    total = (_VALUES[letters[:, :17]] @ _WEIGHTS.astype(np.float32)).astype(np.int64)
    return _bytes(USCC_ALPHABET)[-total % 31]


def _organisation_check(letters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    values = _ORGANISATION_VALUES[letters[:, 8:16]]
    total = (values @ _ORGANISATION_WEIGHTS.astype(np.float32)).astype(np.int64)
    return _bytes(_ORGANISATION_CHECKS)[total % 11]


def _digits(numbers: NDArray[np.int64], *, base: int, width: int) -> NDArray[np.int64]:
    return numbers[:, None] // base ** np.arange(width - 1, -1, -1, dtype=np.int64) % base
