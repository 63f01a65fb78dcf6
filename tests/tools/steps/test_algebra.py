"""Equations with letters: functions, derivatives, roots put back, congruences, values simplified by lines."""

import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latentseek_agents.tools._steps.arithmetic import Node, Reading, evaluate
from latentseek_agents.tools._steps.derivatives import derivative
from latentseek_agents.tools._steps.parser import parse_at
from latentseek_agents.tools._steps.tokens import tokenize
from latentseek_agents.tools.steps import StepReport, check_steps

_LINES = Path(__file__).with_name("algebra_cases.jsonl").read_text(encoding="utf-8").split("\n")
CASES = [json.loads(line) for line in _LINES if line]


def _statuses(report: StepReport) -> list[str]:
    return [equation.status for equation in report.equations]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}: {case['text'][:40]}")
def test_algebra(case: dict[str, Any]) -> None:
    report = check_steps(case["text"], case.get("question"))
    assert _statuses(report) == case["statuses"], [(e.text, e.reason) for e in report.equations]


@pytest.mark.parametrize(
    "text",
    [
        r"\(\sqrt[3]{2y - 5} = 3\), so \(2y - 5 = 27\) and \(y = 16\)",
        r"\(\sqrt[3]{2y - 5} = \sqrt[3]{5 - 2y} \cdot (-1)\)",
        r"\(\sqrt{x^2} = x\), \(x^x = x \cdot x^{x - 1}\)",
    ],
)
def test_the_same_text_has_the_same_verdict(text: str) -> None:
    reports = [check_steps(text, "Solve it.") for _ in range(8)]
    assert all(report == reports[0] for report in reports)


# -- properties ----------------------------------------------------------------------------------------

_COEFFICIENTS = st.lists(st.integers(-9, 9), min_size=2, max_size=5)


def _polynomial(coefficients: list[int], letter: str = "x") -> str:
    terms = [f"({c}){letter}^{power}" if power else f"({c})" for power, c in enumerate(coefficients)]
    return " + ".join(terms)


def _at(coefficients: list[int], value: Fraction) -> Fraction:
    return sum((c * value**power for power, c in enumerate(coefficients)), Fraction(0))


@settings(max_examples=25, deadline=None)
@given(_COEFFICIENTS, st.integers(-9, 9), st.integers(-2, 2))
def test_values_of_functions_are_those_of_their_definition(
    coefficients: list[int], point: int, slip: int
) -> None:
    assume(any(coefficients[1:]))
    value = _at(coefficients, Fraction(point))
    text = f"Let f(x) = {_polynomial(coefficients)}. Then f({point}) = {value + slip}."
    last = check_steps(text).equations[-1]
    if slip:
        assert last.status == "wrong" or last.reason.endswith("only the sign differs")
    else:
        assert last.status in ("ok", "trivial")


@settings(max_examples=25, deadline=None)
@given(_COEFFICIENTS, st.integers(0, 4), st.integers(1, 3))
def test_derivatives_are_told_from_others(coefficients: list[int], place: int, slip: int) -> None:
    lower = [power * c for power, c in enumerate(coefficients)][1:]
    text = rf"\(\frac{{d}}{{dx}}({_polynomial(coefficients)}) = "
    assume(any(lower[1:]))
    assert _statuses(check_steps(f"{text}{_polynomial(lower)}\\)")) == ["ok"]
    lower[place % len(lower)] += slip
    assume(any(lower[1:]))
    assert _statuses(check_steps(f"{text}{_polynomial(lower)}\\)")) == ["wrong"]


def _node(text: str) -> Node:
    tokens = tokenize(text)
    parse = parse_at(tokens, 0, len(tokens), letters=frozenset("x"))
    assert parse is not None
    return parse.node


@pytest.mark.parametrize(
    "text", ["x^3 - 2x", "(x + 1)/(x^2 + 1)", "3/x", "(2x + 1)^4", r"\sqrt{x^2 + 3}", "-(x - 2)(x + 5)", "7"]
)
def test_derivatives_agree_with_finite_differences(text: str) -> None:
    node, step = _node(text), Fraction(1, 10**6)
    chooser = random.Random(4)  # noqa: S311
    for _ in range(5):
        point = Fraction(chooser.randint(10, 90), 10)
        ends = [evaluate(node, Reading(variables={"x": x})) for x in (point - step, point + step)]
        slope = evaluate(derivative(node, "x"), Reading(variables={"x": point}))
        assert slope is not None
        low, high = (end.value for end in ends if end is not None)
        assert abs((high - low) / (2 * step) - slope.value) < Fraction(1, 10**6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**4), st.integers(-(10**4), 10**4), st.integers(2, 40))
def test_congruences_are_decided_by_division(one: int, other: int, modulus: int) -> None:
    assume(one != other)
    report = check_steps(rf"\({one} \equiv {other} \pmod{{{modulus}}}\)")
    assert _statuses(report) == ["ok" if (one - other) % modulus == 0 else "wrong"]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(-20, 20), st.integers(-9, 9), st.integers(-3, 3))
def test_a_root_is_found_or_refuted(slope: int, constant: int, root: int, slip: int) -> None:
    right = slope * root + constant
    text = f"We have {slope}y = {right - constant}. So y = {root + slip}."
    report = check_steps(text, f"Solve {slope}y + ({constant}) = {right}.")
    assume(right != constant)
    assert report.equations[-1].status == ("wrong" if slip else "ok")


@settings(max_examples=40, deadline=None)
@given(st.text("xyfn0123456789 =+-*/^().,'≡\\{}$", max_size=60), st.text("xf=2()^ ", max_size=20))
def test_any_text_can_be_judged_twice(text: str, question: str) -> None:
    for text_ in (text, f"Let f(x) = {text}. f(f(2)) = {text} \\pmod{{7}}", rf"\frac{{d}}{{dx}}({text}) = x"):
        assert check_steps(text_, question) == check_steps(text_, question)


def test_functions_of_functions_do_not_blow_up() -> None:
    text = "Let f(x) = x * x * x * x + x. " + "f" + "(f" * 30 + "(2)" + ")" * 30 + " = 7."
    assert check_steps(text).equations[-1].status == "unverifiable"
