r"""The checks as LangChain tools, for agents that call them.

The content of each is a sentence for a model. The artifact is the result as plain JSON values; of bad input
it is ``{"error": ...}``, the message's status is ``"error"``, and the content says what to change.

Example:
    >>> calculate.invoke({"expression": r"\frac{1}{3} + 0.5"})
    '5/6 (about 0.833333333333)'
    >>> solve_equation.invoke({"equations": "x + y = 10, x - y = 4"})
    'x = 7, y = 3'
    >>> check_answer.invoke({"answer": r"So it is \boxed{0.5}.", "reference": "1/2"})
    'Right: 0.5 is equal to 1/2.'
    >>> check_math_steps.invoke({"solution": "48/2 = 24, and 48 + 24 = 73."})
    'Wrong. 1 of 2 equations is refuted: 48 + 24 = 73 (72 is not 73).'
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import ValidationError

from latentseek_agents.tools._answers.equation_solver import (
    EquationError,
    describe_solutions,
    solve_equations,
)
from latentseek_agents.tools._answers.exact import exact_value
from latentseek_agents.tools._answers.expression import ExpressionError, Node, parse_expression
from latentseek_agents.tools._answers.notation import LONGEST_ANSWER, plain_notation
from latentseek_agents.tools._answers.quantities import unit_of
from latentseek_agents.tools._steps import calculate as calculate_in_words
from latentseek_agents.tools._steps import tokenize
from latentseek_agents.tools._symbolic.sandbox import SandboxError, shared_sandbox
from latentseek_agents.tools._words import WORD_OPERATORS
from latentseek_agents.tools.answers import answers_agree, extract_answer
from latentseek_agents.tools.steps import StepReport, check_steps

__all__ = ["MATH_TOOLS", "calculate", "check_answer", "check_math_steps", "solve_equation"]

_MOST_SHOWN = 5
_LONGEST_EXACT = 60
_WORDS_OF_OPERATORS = frozenset(WORD_OPERATORS) | {"x", "of", "by", "divided", "multiplied", "the"}
_RELATIONS = {
    True: ("Right", "is equal to"),
    False: ("Wrong", "is not shown to be equal to"),
    None: ("Unknown", "could not be compared in time with"),
}

Result = tuple[str, dict[str, Any]]

_SURROGATE = re.compile("[\ud800-\udfff]")
_PREFIXED = re.compile(r"(?<![\w.])0([xXbBoO])([0-9A-Fa-f]{1,60})(?![\w.])")
_BASES = {"x": 16, "b": 2, "o": 8}
_BETWEEN_NUMBERS = re.compile(r"[\d)] ?\\?% ?[\d(]")
_INSTRUCTION = re.compile(
    r"(?<![a-z])(?:round(?:ed|s)?|nearest|truncated?|approximately|squared?|cubed?|half|twice|doubled?|mean|"
    r"average|remainder|quotient)(?![a-z])",
    re.IGNORECASE,
)
_CURRENCIES = re.compile("[$€£¥₹¢]")
_PRODUCT = re.compile(r"[*×·]|\\times|\\cdot|\btimes\b|(?<=[\w)]) x (?=[\d(])")


class _MathTool(StructuredTool):
    """A tool whose messages say in their status whether it failed."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return _with_status(super().run(*args, **kwargs))

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        return _with_status(await super().arun(*args, **kwargs))


def _with_status(result: Any) -> Any:
    failed = (
        isinstance(result, ToolMessage) and isinstance(result.artifact, dict) and "error" in result.artifact
    )
    return result.model_copy(update={"status": "error"}) if failed else result


def _math_tool(function: Callable[..., Result]) -> BaseTool:
    return _MathTool.from_function(function, response_format="content_and_artifact", parse_docstring=True)


@_math_tool
def check_math_steps(solution: str, question: str = "") -> Result:
    """Check every equation of a worked solution with exact arithmetic.

    Finds calculation errors such as 48 + 24 = 73. It does not tell whether the approach is right.

    Args:
        solution: The solution, with its calculations written as equations; plain text or LaTeX.
        question: The question that it solves, to see whether its numbers are used.
    """
    report = check_steps(_clean(solution), _clean(question) or None)
    return _words_of_report(report), report.to_dict()


@_math_tool
def check_answer(answer: str, reference: str) -> Result:
    """Tell whether an answer means the same as the reference answer.

    Different notations of one value are equal, for example 0.5, 1/2 and 50%.

    Args:
        answer: The answer, or a whole solution that states one at its end.
        reference: The known right answer.
    """
    answer, right = _clean(answer), _clean(reference).rpartition("####")[2].strip()
    if not right:
        return _failed("there is no reference answer to compare with")
    stated = extract_answer(answer)
    shown = stated or answer.strip()
    if not shown:
        return _failed("there is no answer to compare")
    matches = answers_agree(shown, right)
    verdict, relation = _RELATIONS[matches]
    words = f"{verdict}: {_short(shown)} {relation} {_short(right)}."
    return words, {"matches": matches, "answer": shown, "reference": right}


@_math_tool
def solve_equation(equations: str, unknowns: str = "") -> Result:
    """Solve an equation, or a system of up to four equations, exactly.

    Args:
        equations: The equations, separated by commas or new lines, such as 2x + y = 7, x - y = 2.
        unknowns: The letters to solve for, separated by commas; empty for all letters.
    """
    try:
        found = solve_equations(_clean(equations), _clean(unknowns))
    except EquationError as error:
        return _failed(str(error))
    return describe_solutions(found), found


@_math_tool
def calculate(expression: str) -> Result:
    """Calculate the exact value of an arithmetic expression.

    Args:
        expression: Numbers with + - * / ^ and parentheses, fractions, percent, roots and functions; plain
            text or LaTeX, such as (48 + 24) / 3 or 15% of 80.
    """
    text = _PREFIXED.sub(_in_decimal, _clean(expression).strip().rstrip("=? "))
    if reason := _unfit(text):
        return _failed(reason)
    value, tree = _exact(text)
    if value is not None:
        return _words_of_value(value), {
            "value": str(value),
            "decimal": _decimal(value),
            "exact": True,
        }
    if tree is None:
        return _failed(f"{_short(text)} cannot be read as a calculation")
    if _divides_by_zero(tree):
        return _failed(f"{_short(text)} has no value: it divides by zero")
    if letters := sorted(tree.symbols()):
        return _failed(f"the expression holds letters ({', '.join(letters)}); give numbers only")
    try:
        decimal = shared_sandbox().ask("real_values", [tree.to_wire()])[0]
    except SandboxError:
        return _failed(f"{_short(text)} could not be calculated: it is too large or too slow")
    if decimal is None:
        return _failed(f"{_short(text)} has no real value, or one that is too large")
    shown = _trimmed(decimal)
    return f"about {shown}", {"value": None, "decimal": shown, "exact": False}


def _explained(error: Any) -> str:
    """What is wrong with the arguments, for the model that gave them."""
    if not isinstance(error, ValidationError):
        return f"Error: {error}"
    wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return f"Error: the arguments do not fit ({'; '.join(wrong)})."


MATH_TOOLS: list[BaseTool] = [check_math_steps, check_answer, solve_equation, calculate]
"""All of them, to give to an agent: ``create_agent(model, MATH_TOOLS)``."""

for _each in MATH_TOOLS:
    # A model that leaves an argument out is told so, like one that gives a bad one.
    _each.handle_validation_error = _explained


def _failed(reason: str) -> Result:
    return f"Error: {reason}.", {"error": reason}


# A sign at the end of a sentence is dropped in prose, but a call that was cut short must not be guessed at.
_UNFINISHED = re.compile(r"(?:[-+*/^×÷·−]|\\times|\\cdot|\\div)\s*$")


def _unfit(text: str) -> str:
    """Why a text is nothing to calculate; "" if it may be."""
    if not text:
        return "there is nothing to calculate"
    if len(text) > LONGEST_ANSWER:
        return f"the expression has {len(text)} characters; give at most {LONGEST_ANSWER}"
    if word := _INSTRUCTION.search(text):
        return f"{word.group()!r} is not understood; give numbers, operators and functions alone"
    units = _units(text)
    doubts = {
        "the expression ends with an operator; give what follows it": _UNFINISHED.search(text),
        "give one expression without an equals sign; solve_equation solves equations": "=" in text,
        "a % between two numbers is unclear; write 10 mod 3 for a remainder, 10% * 3 for a share": (
            _BETWEEN_NUMBERS.search(text)
        ),
        "a product of quantities has a unit of its own; give the numbers without their units": (
            len(units) > 1 and _PRODUCT.search(text)
        ),
        "the amounts are of different currencies; convert them first": (
            len(set(_CURRENCIES.findall(text))) > 1
        ),
    }
    return next((reason for reason, doubtful in doubts.items() if doubtful), "")


def _clean(text: str) -> str:
    """Without halves of characters, which no message can carry."""
    return _SURROGATE.sub("\ufffd", text)


def _in_decimal(match: re.Match[str]) -> str:
    """0x10 is 16, and no product."""
    base = _BASES[match[1].lower()]
    return str(int(match[2], base)) if all(int(digit, 16) < base for digit in match[2]) else match.group()


def _units(text: str) -> list[str]:
    """Every unit of measure in a text that stands behind a number."""
    names = re.findall(r"\d ?([A-Za-z]{1,12})(?![A-Za-z(])", text[:LONGEST_ANSWER])
    known = [name for name in names if (unit := unit_of(name)) is not None and unit.dimension]
    return [name for name in known if name not in ("x", "e", "E")]


def _divides_by_zero(tree: Node) -> bool:
    if tree.kind == "divide" and exact_value(tree.args[1]) == 0:
        return True
    return any(map(_divides_by_zero, tree.args))


def _exact(text: str) -> tuple[Fraction | None, Node | None]:
    """The exact value, and the expression if it can be read."""
    try:
        tree: Node | None = parse_expression(plain_notation(text))
    except ExpressionError:
        tree = None
    value = None if tree is None else exact_value(tree)
    if value is None and (tree is None or tree.symbols()) and not _mixes_units(text):
        # Words and units: "15% of 80", "12 x 3", "$4 * 3 pens".
        found = calculate_in_words(text)
        value = None if found is None else Fraction(found)
    return value, tree


def _mixes_units(text: str) -> bool:
    """Whether the numbers may be of different units, as in "3 km + 5 m"."""
    words = {token.text.lower().rstrip("s") for token in tokenize(text) if token.kind in ("word", "letter")}
    return len(words - _WORDS_OF_OPERATORS) > 1


def _words_of_value(value: Fraction) -> str:
    if len(str(value)) > _LONGEST_EXACT:
        return f"about {_decimal(value)}"
    if value.denominator == 1:
        return str(value)
    decimal = _decimal(value)
    return f"{value} ({'' if Fraction(decimal) == value else 'about '}{decimal})"


def _trimmed(decimal: str) -> str:
    """A decimal of the worker with twelve digits; its exponent may be beyond those of a float."""
    mantissa, _, exponent = decimal.partition("e")
    if abs(int(exponent or 0)) > 300:
        return f"{mantissa[:13]}e{exponent}"
    return _decimal(Fraction(decimal))


def _decimal(value: Fraction) -> str:
    """Twelve significant digits, from exact integers: a float could overflow."""
    if value.denominator == 1 and abs(value) < 10**15:
        return str(value)
    if not value:
        return "0"
    digits = 12
    exponent = len(str(abs(value.numerator))) - len(str(value.denominator))
    exponent -= abs(value) < Fraction(10) ** exponent
    mantissa = round(abs(value) / Fraction(10) ** (exponent - digits + 1))
    if mantissa == 10**digits:
        mantissa, exponent = mantissa // 10, exponent + 1
    sign = "-" if value < 0 else ""
    if -6 <= exponent < 15:
        shown = str(mantissa).rjust(digits - exponent, "0") if exponent < 0 else str(mantissa)
        point = len(shown) - digits + 1 + exponent
        shown = shown.ljust(point, "0")
        text = f"{shown[:point]}.{shown[point:]}".rstrip("0").rstrip(".")
        return sign + text
    head = f"{str(mantissa)[0]}.{str(mantissa)[1:]}".rstrip("0").rstrip(".")
    return f"{sign}{head}e{exponent:+d}"


def _words_of_report(report: StepReport) -> str:
    cut = " The text is too long: its end was not read." if report.truncated else ""
    total = len(report.equations)
    if report.verdict == "unverifiable":
        return "Nothing could be checked: no equation was found that can be read for certain." + cut
    if report.verdict == "ok":
        held = sum(equation.status not in ("wrong", "unverifiable") for equation in report.equations)
        return f"No error found: {held} of {total} equations were checked and hold.{cut}"
    refuted = report.refuted
    listed = "; ".join(f"{_short(each.text)} ({each.reason})" for each in refuted[:_MOST_SHOWN])
    more = f"; and {len(refuted) - _MOST_SHOWN} more" if len(refuted) > _MOST_SHOWN else ""
    verb = "is" if len(refuted) == 1 else "are"
    of = "equation" if total == 1 else "equations"
    return f"Wrong. {len(refuted)} of {total} {of} {verb} refuted: {listed}{more}.{cut}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:99] + "…"
