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
from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import ValidationError

from latentseek_agents.tools._calculation import NoResultError, short, solve
from latentseek_agents.tools._calculation import calculate as value_of
from latentseek_agents.tools.answers import answers_agree, extract_answer
from latentseek_agents.tools.steps import StepReport, check_steps

__all__ = ["MATH_TOOLS", "calculate", "check_answer", "check_math_steps", "solve_equation"]

_MOST_SHOWN = 5
_LONGEST_EXACT = 60
_RELATIONS = {
    True: ("Right", "is equal to"),
    False: ("Wrong", "is not shown to be equal to"),
    None: ("Unknown", "could not be compared in time with"),
}

Result = tuple[str, dict[str, Any]]

_SURROGATE = re.compile("[\ud800-\udfff]")
_TWELVE_DIGITS = Context(prec=12, Emax=MAX_EMAX, Emin=MIN_EMIN)


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


def _explained(error: Any) -> str:
    """What is wrong with the arguments, for the model that gave them."""
    if not isinstance(error, ValidationError):
        return f"Error: {error}"
    wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return f"Error: the arguments do not fit ({'; '.join(wrong)})."


def _math_tool(function: Callable[..., Result]) -> BaseTool:
    return _MathTool.from_function(
        function,
        response_format="content_and_artifact",
        parse_docstring=True,
        # A missing argument is an error message for the model, like a bad one.
        handle_validation_error=_explained,
    )


@_math_tool
def check_math_steps(solution: str, question: str = "") -> Result:
    """Check every equation of a worked solution with exact arithmetic, and run its Python.

    Finds calculation errors such as 48 + 24 = 73, and programs that do not print what the solution says. It
    does not tell whether the approach is right.

    Args:
        solution: The solution, with its calculations written as equations or as fenced blocks of Python that
            print their results; plain text or LaTeX.
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
    words = f"{verdict}: {short(shown)} {relation} {short(right)}."
    return words, {"matches": matches, "answer": shown, "reference": right}


@_math_tool
def solve_equation(equations: str, unknowns: str = "") -> Result:
    """Solve an equation, or a system of up to four equations, exactly.

    Args:
        equations: The equations, separated by commas or new lines, such as 2x + y = 7, x - y = 2.
        unknowns: The letters to solve for, separated by commas; empty for all letters.
    """
    try:
        result = solve(_clean(equations), _clean(unknowns))
    except NoResultError as error:
        return _failed(str(error))
    return _words_of_solutions(result), result


@_math_tool
def calculate(expression: str) -> Result:
    """Calculate the exact value of an arithmetic expression.

    Args:
        expression: Numbers with + - * / ^ and parentheses, fractions, percent, roots and functions; plain
            text or LaTeX, such as (48 + 24) / 3 or 15% of 80.
    """
    try:
        value = value_of(_clean(expression))
    except NoResultError as error:
        return _failed(str(error))
    decimal = _decimal(value)
    if isinstance(value, Fraction):
        return _words_of_value(value, decimal), {"value": str(value), "decimal": decimal, "exact": True}
    return f"about {decimal}", {"value": None, "decimal": decimal, "exact": False}


MATH_TOOLS: list[BaseTool] = [check_math_steps, check_answer, solve_equation, calculate]
"""All of them, to give to an agent: ``create_agent(model, MATH_TOOLS)``."""


def _failed(reason: str) -> Result:
    return f"Error: {reason}.", {"error": reason}


def _clean(text: str) -> str:
    """Without halves of characters, which no message can carry."""
    return _SURROGATE.sub("\ufffd", text)


def _words_of_value(value: Fraction, decimal: str) -> str:
    if len(str(value)) > _LONGEST_EXACT:
        return f"about {decimal}"
    if value.denominator == 1:
        return str(value)
    return f"{value} ({'' if Fraction(decimal) == value else 'about '}{decimal})"


def _decimal(value: Fraction | Decimal) -> str:
    """Twelve significant digits, from exact integers: a float could overflow."""
    if value == (whole := int(value)) and abs(whole) < 10**15:
        return str(whole)
    if isinstance(value, Fraction):
        value = _TWELVE_DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
    digits = _TWELVE_DIGITS.plus(value).normalize(_TWELVE_DIGITS)
    return f"{digits:f}" if -6 <= digits.adjusted() < 15 else f"{digits:e}"


def _words_of_solutions(result: Mapping[str, Any]) -> str:
    if result["kind"] == "all":
        unless = " for which no denominator is zero" if result["restricted"] else ""
        return f"Every value of {', '.join(result['unknowns'])}{unless} is a solution."
    if result["kind"] == "none":
        return "There is no solution." if result["field"] == "complex" else "There is no real solution."
    solutions: dict[bool, list[str]] = {False: [], True: []}
    for solution in result["solutions"]:
        not_real = any(value["real"] is False for value in solution.values())
        solutions[not_real].append(", ".join(f"{name} = {_value(value)}" for name, value in solution.items()))
    words = " or ".join(solutions[False]) or "There is no real solution"
    if solutions[True]:
        words += f"; not real: {' or '.join(solutions[True])}"
    if result["kind"] == "family":
        free = [name for name in result["unknowns"] if any(name not in each for each in result["solutions"])]
        words += f", for every value of {', '.join(free)}" if free else ", with values that stay free"
    return words


def _value(value: Mapping[str, Any]) -> str:
    exact, decimal = value["exact"], value["decimal"]
    if exact is None:
        return f"about {decimal}"
    return exact if decimal is None or decimal == exact or value["real"] is False else f"{exact} ({decimal})"


def _words_of_report(report: StepReport) -> str:
    cut = " The text is too long: its end was not read." if report.truncated else ""
    programs = _words_of_programs(report)
    total = len(report.equations)
    if report.verdict == "unverifiable":
        found = "no equation was found that can be read for certain"
        return f"Nothing could be checked: {found}.{programs}{cut}"
    if report.verdict == "ok":
        held = sum(equation.status not in ("wrong", "unverifiable") for equation in report.equations)
        if not total:
            return f"No error found.{programs}{cut}"
        return f"No error found: {held} of {total} equations were checked and hold.{programs}{cut}"
    refuted = report.refuted
    if not refuted:
        return f"Wrong.{programs}{cut}"
    listed = "; ".join(f"{short(each.text)} ({each.reason})" for each in refuted[:_MOST_SHOWN])
    more = f"; and {len(refuted) - _MOST_SHOWN} more" if len(refuted) > _MOST_SHOWN else ""
    verb = "is" if len(refuted) == 1 else "are"
    of = "equation" if total == 1 else "equations"
    return f"Wrong. {len(refuted)} of {total} {of} {verb} refuted: {listed}{more}.{programs}{cut}"


def _words_of_programs(report: StepReport) -> str:
    """What the programs of a solution print, or "" if it has none."""
    listed = [
        f"prints {short(program.printed) or 'nothing'} ({program.status}: {short(program.reason)})"
        for program in report.programs[:_MOST_SHOWN]
    ]
    more = len(report.programs) - len(listed)
    words = f" Its program {'; the next one '.join(listed)}{f'; and {more} more' if more else ''}."
    return words if listed else ""
