"""Numbers as text: the canonical spelling keeps the value, and `is_decimal` takes plain decimals alone."""

from __future__ import annotations

from decimal import Decimal

import pytest

from src.storage.numbers import is_decimal, number_spelling

NUMBERS = ["1", "+1.0", "1e0", "-0", ".50", "5.", "1e300", "-12.5e-3", "123456789" * 8, "1e-7", "0.000012"]


@pytest.mark.parametrize("text", NUMBERS)
def test_the_spelling_keeps_the_value_and_is_its_own_spelling(text: str) -> None:
    spelling = number_spelling(text)
    assert spelling is not None and Decimal(spelling) == Decimal(text)
    assert number_spelling(spelling) == spelling and is_decimal(spelling)


@pytest.mark.parametrize("texts", [("1", "1.0", "+1", "10e-1"), ("0", "-0", "0e5", ".0"), ("100", "1e2", "1E+2")])
def test_equal_values_have_one_spelling(texts: tuple[str, ...]) -> None:
    assert len({number_spelling(text) for text in texts}) == 1


@pytest.mark.parametrize("text", ["", ".", "e5", "1_000", "\u0661", "nan", "inf", "0x10", " 1", "1 "])
def test_other_texts_are_no_numbers(text: str) -> None:
    assert not is_decimal(text) and number_spelling(text) is None


@pytest.mark.parametrize("code", ["01", "007", "00"])
def test_a_leading_zero_makes_a_code_of_a_number(code: str) -> None:
    assert is_decimal(code) and number_spelling(code) is None
