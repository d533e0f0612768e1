"""Numbers that are written as text: what counts as one, and its canonical spelling."""

from __future__ import annotations

import re

MAX_INTEGER_DIGITS = 40  # a longer whole number is spelled with an exponent, unless it needs all its digits
MAX_EXPONENT_DIGITS = 9
DECIMAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?")


def is_decimal(text: str) -> bool:
    """Return whether a text is a plain decimal number.

    `float` would also take underscores and digits of other scripts.

    >>> [is_decimal(text) for text in ("-1", ".5e3", "007.", "1_000", "nan", ".", "")]
    [True, True, True, False, False, False, False]
    """
    found = DECIMAL.fullmatch(text)
    return found is not None and bool(found[2] or found[3])


def number_spelling(text: str) -> str | None:
    """Return the canonical spelling of a number, exact at any length; None for other texts.

    A text with a leading zero is a code, not a number.

    >>> [number_spelling(text) for text in ("1", "+1.0", "1e0", "-0", ".50", "1e300", "01")]
    ['1', '1', '1', '0', '0.5', '1e+300', None]
    """
    if len(text) < MAX_INTEGER_DIGITS and text.isascii() and text.isdigit() and text[0] != "0":
        return text  # most labels
    found = DECIMAL.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        return None
    sign, whole, fraction, exponent = found[1].strip("+"), found[2], found[3] or "", found[4] or "0"
    if (whole.startswith("0") and len(whole) > 1) or len(exponent.lstrip("+-")) > MAX_EXPONENT_DIGITS:
        return None
    digits = (whole + fraction).lstrip("0")
    zeros = int(exponent) - len(fraction) + len(digits) - len(digits.rstrip("0"))
    return _spell(sign, digits.rstrip("0"), zeros)


def _spell(sign: str, digits: str, zeros: int) -> str:
    """Return the spelling of `digits` times ten to the power of `zeros`."""
    if not digits:
        return "0"
    power = zeros + len(digits) - 1  # of ten, of the first digit
    if 0 <= zeros <= max(0, MAX_INTEGER_DIGITS - len(digits)):
        return sign + digits + "0" * zeros
    if zeros < 0 <= power:
        return f"{sign}{digits[: power + 1]}.{digits[power + 1 :]}"
    if -5 <= power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{power:+d}"
