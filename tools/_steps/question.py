r"""What kind of question it is: the signals made for word problems say little about other mathematics.

A word problem tells of quantities, and its numbers are there to be used. Those of "Factor x^2 - 9" or "How
many divisors has 196?" are not used in that sense, numbers from nowhere are in place there, and the answer
may be negative, a root or an expression.

Example:
    >>> is_word_problem("A farmer has 12 cows and sells 5 of them. How many are left?")
    True
    >>> is_word_problem(r"If $f(x) = 3x + 2$, what is $f(4)$?")
    False
    >>> is_word_problem("What is the least multiple of 30 with 3 digits?")
    False
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from latentseek_agents.tools._steps.equations import Comparison, find_comparisons

_MAX_QUESTION = 8000
# Variables, functions, relations, points and figures.
_NOTATION = re.compile(
    r"""\[asy\] | [=^_√∫∑] | \d!(?=\W) | \blog\b
    | \\(?:sqrt|sin|cos|tan|log|ln|sum|prod|int|lim|binom|pmod|bmod|equiv|theta|alpha|beta|leq?|geq?|lfloor
          |lceil|angle|triangle|overline|begin|mathbf|vec|infty|cdots|pi)(?![A-Za-z])
    | [<>] | (?<![A-Za-z'])[b-hj-z]\s?[-+]\s?\d | \d\s?[-+]\s?[a-z](?![A-Za-z])
    | \$\s*-?[A-Za-z]\s*\$ | \\\(\s*-?[A-Za-z]\s*\\\)  # $x$
    | (?<![A-Za-z])[A-Za-z]\(\s*-?\w+\s*\)  # f(2)
    | (?<![\w$])\d+[a-z](?![\w'])(?<!\d[gmlk])  # 3x, but 300g
    | \(\s*-?\d+\s*,\s*-?\d+\s*\)  # (2, -6)
    """,
    re.VERBOSE,
)
_MATHEMATICS = re.compile(
    r"\b(?:divisors?|divisible|(?<!nearest )integers?|digits?|(?:multiples?|powers?|factors?) of"
    r"|common (?:factor|multiple|divisor|fraction|denominator)|polynomials?|equations?|expressions?"
    r"|logarithms?|prime numbers?|primes|perfect (?:squares?|cubes?|powers?)|sequences?|coefficients?"
    r"|vectors?|matrix|matrices"
    r"|complex numbers?|(?:penta|hexa|hepta|octa|deca|poly)gon\w*|parallelograms?|trapezoids?"
    r"|(?:tri|rect)angles? (?-i:[A-Z]{3,4})|(?:equilateral|isosceles|right) triangles?"
    r"|degrees (?:must|in the angle)|radians?|how many (?:\w+ )?ways|permutations?|arrangements"
    r"|simplify|evaluate|compute the|factor(?:ize)? the|simplest (?:radical )?form)\b"
    r"|^\W*(?:compute|evaluate|simplify|solve|factor|expand)\b",
    re.IGNORECASE,
)


# A search asks about the same question at every iteration.
@lru_cache(maxsize=256)
def is_word_problem(question: str) -> bool:
    """Whether a question tells of quantities in words, without the notation and the notions of mathematics.

    Args:
        question: The question.
    """
    question = question[:_MAX_QUESTION]
    return not (_NOTATION.search(question) or _MATHEMATICS.search(question))


@lru_cache(maxsize=64)
def equations_of(question: str) -> tuple[Sequence[Comparison], frozenset[str]]:
    """The equations that a question states, and the functions that it defines.

    Args:
        question: The question.

    Example:
        >>> equations, functions = equations_of("If f(x) = 3x + 2 and x^2 = 4, what is f(x)?")
        >>> len(equations), sorted(functions)
        (2, ['f'])
    """
    question = question[:_MAX_QUESTION]
    if not any(sign in question for sign in ("=", "≡", "\\equiv")):
        return (), frozenset()
    comparisons = find_comparisons(question)
    sides = [side.parse for c in comparisons for side in (c.left, c.right) if side.parse is not None]
    return comparisons, frozenset(name.rstrip("'") for parse in sides for name in parse.functions)
