"""Company codes are told by both of their check characters, a million at a time, and made so that nobody has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.identifiers import USCC_ALPHABET, is_bank_card, is_citizen_id, is_company_code, is_uscc, uscc
from fedcredit.errors import TableError

# Published by the companies themselves: Huawei, Tencent, Alibaba, Baidu.
PUBLISHED = ["914403001922038216", "9144030071526726XG", "91330100799655058B", "91110000802100433B"]


def test_published_codes_are_valid() -> None:
    assert is_uscc(PUBLISHED).all()


def test_no_slip_of_one_letter_stays_a_code() -> None:
    slips = [
        code[:place] + letter + code[place + 1 :]
        for code in PUBLISHED
        for place in range(18)
        for letter in USCC_ALPHABET
        if letter != code[place]
    ]
    assert len(slips) == 4 * 18 * 30
    assert not is_uscc(slips).any()


def test_two_neighbours_exchanged_are_no_code() -> None:
    code = PUBLISHED[1]
    swapped = [code[:at] + code[at + 1] + code[at] + code[at + 2 :] for at in range(17) if code[at] != code[at + 1]]
    assert not is_uscc(swapped).any()


@pytest.mark.parametrize(
    "odd", [None, "", "9144030019220382I6", "91440300192203821", "9144030019220382166", "９14403001922038216", "\ud800"]
)
def test_what_is_no_code_is_false_and_does_not_hide_its_neighbours(odd: str | None) -> None:
    cells = [PUBLISHED[0], odd, PUBLISHED[1]]
    assert is_uscc(pd.Series(cells, dtype=object)).tolist() == [True, False, True]


def test_numbers_among_the_cells_are_no_codes() -> None:
    assert is_uscc(pd.Series([914403001922038216, PUBLISHED[0]], dtype=object)).tolist() == [False, True]


def test_a_slice_of_a_column_is_read_at_its_own_place() -> None:
    cells = pd.Series(["x", *PUBLISHED, "y"])
    assert is_uscc(cells.iloc[2:5]).tolist() == [True, True, True]
    assert is_uscc(cells.iloc[:0]).tolist() == []


def test_one_code_is_judged_as_a_million_are() -> None:
    rng = np.random.default_rng(0)
    codes = uscc(990007, rng.integers(0, 31**8, size=400)).tolist()
    letters = ["".join(rng.choice(list(USCC_ALPHABET), size=18)) for _ in range(400)]
    assert [is_company_code(code) for code in codes + letters] == is_uscc(codes + letters).tolist()


def test_made_codes_are_valid_different_and_of_no_place() -> None:
    serials = np.arange(20_000) * 7_919
    codes = uscc(990001 + np.arange(20_000) % 99, serials)
    assert is_uscc(codes.tolist()).all()
    assert len(set(codes.tolist())) == 20_000
    assert {code[2:4] for code in codes.tolist()} == {"99"}


@pytest.mark.parametrize(("division", "serial"), [(99_001, 1), (1_000_000, 1), (990_001, -1), (990_001, 31**8)])
def test_a_division_or_serial_out_of_range_is_refused(division: int, serial: int) -> None:
    with pytest.raises(TableError):
        uscc(division, serial)


def test_a_citizens_number_needs_a_province_a_day_and_its_check() -> None:
    assert is_citizen_id("11010519491231002X")  # the example of GB 11643
    wrong = ["11010519491231002x", "110105194912310029", "99010519491231002X", "11010519490230002X", "1101051949123100"]
    assert not any(is_citizen_id(code) for code in wrong)


def test_a_card_needs_16_to_19_digits_and_its_check() -> None:
    assert is_bank_card("4111111111111111")
    assert not any(is_bank_card(card) for card in ("4111111111111112", "411111111111111", "1111111111111117", ""))
