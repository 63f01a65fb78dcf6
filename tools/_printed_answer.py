"""The answer in what a program prints, and whether a solution states it rounded."""

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

from latentseek_agents.tools.answers import extract_answer

__all__ = ["is_rounded", "printed_answer"]

_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_DECIMAL = re.compile(r"(?<![\d.,/])-?\d+(?:,\d{3})*\.(\d{2,15})(?![\d.,/])")
_COLON = re.compile(r"(?<!\d):|:(?!\d)")  # not that of a time of day
_FLOAT = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d{1,3})?|-?\d+[eE][-+]?\d{1,3}")
_EXACT = re.compile(r"-?\d{1,30}(?:\.\d{1,30}|/[1-9]\d{0,29})?")

# A float is taken for the simple fraction that it differs from in its last digits only.
_EXACT_DIGITS = 12
_LARGEST_DENOMINATOR = 1000
_TERMINATING = {2**twos * 5**fives for twos in range(10) for fives in range(5)}


def printed_answer(line: str) -> str | None:
    """The answer in the last line of an output: it should be the answer alone, but may have words around it.

    Example:
        >>> [printed_answer(line) for line in ("72.0", "Total cost: $72", "She sells 72 clips.", "nan")]
        ['72', '$72', '72', None]
    """
    stated = extract_answer(line) or line
    *name, value = _COLON.split(stated)
    if re.search(r"[A-Za-z]", "".join(name)) and value.strip():
        stated = value.strip()
    if re.match(r"[A-Za-z]", stated) and len(numbers := _NUMBER.findall(stated)) == 1:
        stated = numbers[0]
    return _tidy(stated)


def _tidy(text: str) -> str | None:
    """A float as the number that it stands for, up to its rounding error; None for nan and infinity.

    Example:
        >>> [_tidy(text) for text in ("2.50", "0.30000000000000004", "0.3333333333333333", "1e+20", "3 h")]
        ['2.5', '0.3', '1/3', '100000000000000000000', '3 h']
    """
    if text.lower().strip("-+") in ("nan", "inf", "infinity", "none"):
        return None
    if not _FLOAT.fullmatch(text):
        return text
    value = Decimal(text)
    if len(value.normalize().as_tuple().digits) > _EXACT_DIGITS:
        near = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
        if abs(near - Fraction(value)) <= abs(Fraction(value)) / 10**_EXACT_DIGITS:
            if near.denominator not in _TERMINATING:
                return str(near)
            value = Decimal(near.numerator) / Decimal(near.denominator)
        else:
            with localcontext(prec=_EXACT_DIGITS):
                value = +value
    shown = f"{abs(value):f}" if value == 0 else f"{value:f}"
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown) or "0"


def is_rounded(answer: str, computed: str) -> bool:
    """Whether a solution's decimal is the computed number, rounded to the decimals that it has, at least two.

    Example:
        >>> is_rounded("$33.33", "100/3"), is_rounded("33.34", "100/3"), is_rounded("33.3", "100/3")
        (True, False, False)
    """
    stated = _DECIMAL.search(answer)
    if stated is None or len(_NUMBER.findall(answer)) != 1 or not _EXACT.fullmatch(computed):
        return False
    exact = Fraction(computed)
    places = len(stated[1])
    with localcontext(prec=50):
        decimal = Decimal(exact.numerator) / Decimal(exact.denominator)
        rounded = decimal.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return rounded == Decimal(stated[0].replace(",", ""))
