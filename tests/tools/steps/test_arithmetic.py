import gc
import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.tools._maths.exact import Evaluation
from latentseek_agents.tools._steps.arithmetic import (
    Binary,
    Literal,
    Percent,
    Reading,
    Variable,
    evaluate,
    same_value,
)
from latentseek_agents.tools._steps.parser import calculate, parse_at
from latentseek_agents.tools._steps.tokens import MAX_CHARACTERS, fold, tokenize

CASES = json.loads(Path(__file__).with_name("calculate_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"])
def test_calculate_reads_what_people_write(case):
    assert calculate(case["text"]) == Fraction(case["value"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1/0",
        "0/0",
        "0^0",
        "9**9**9**9",
        "2**(2**40)",
        "10^10000000",
        "1000000000!",
        "5!!!!!!",
        "(-8)^{1/3}",
        "3 4",
        "1,1,1",
        "1.2.3",
        "12:30",
        "2024-01-05",
        "5 +",
        "(5",
        "five",
        "3ab",
        "sin(3)",
        "()",
        "__import__('os')",
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 5000 + "1.5e",
        "9" * 5000,
        r"\sqrt{2}",
    ],
)
def test_calculate_refuses_the_rest(text):
    gc.disable()  # a collection of all that other tests left takes longer than the reading
    try:
        started = time.thread_time()
        assert calculate(text) is None
        assert time.thread_time() - started < 0.5
    finally:
        gc.enable()


def test_an_unbounded_run_of_signs_is_read():
    assert calculate("-" * 5000 + "1") == 1


_EXPRESSIONS = st.recursive(
    st.integers(0, 999).map(lambda n: (str(n), Fraction(n))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: (
            f"({parts[0][0]} {parts[1]} {parts[2][0]})",
            _apply(parts[0][1], parts[1], parts[2][1]),
        )
    ),
    max_leaves=8,
)


def _apply(left, operator, right):
    if left is None or right is None or (operator == "/" and right == 0):
        return None
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / right if right else None}[
        operator
    ]


@given(_EXPRESSIONS)
def test_calculate_agrees_with_fractions(case):
    text, value = case
    assert calculate(text) == value


@settings(max_examples=50)
@given(st.text(max_size=300))
def test_any_text_can_be_calculated(text):
    calculate(text)


@given(st.text(max_size=300))
def test_tokens_stand_where_they_say(text):
    end = 0
    for token in tokenize(text):
        assert end <= token.start <= token.end <= len(text)
        end = token.end
    assert len(fold(text)) == len(text)


def test_long_texts_are_cut_before_anything_else():
    tokens = tokenize("1 " * MAX_CHARACTERS)
    assert tokens[-1].end <= MAX_CHARACTERS


def test_readings():
    change = Binary("-", Literal(120), Percent(Literal(25)))
    assert evaluate(change, Reading(percent="change")) == Evaluation(90, exact=True)
    assert evaluate(change, Reading(percent="plain")) == Evaluation(95, exact=True)
    assert evaluate(Variable("x")) is None
    assert evaluate(Variable("x"), Reading(variables={"x": 3})) == Evaluation(3, exact=True)
    assert evaluate(
        Literal(Fraction(33, 100), 2), Reading(replacements={Fraction(33, 100): Fraction(1, 3)})
    ) == (Evaluation(Fraction(1, 3), exact=True))


def value_of(text: str) -> Evaluation:
    tokens = tokenize(text)
    parse = parse_at(tokens, 0, len(tokens))
    assert parse is not None
    value = evaluate(parse.node)
    assert value is not None
    return value


def test_roots_are_equal_only_if_they_are():
    fifty, twice = value_of(r"\sqrt{50}"), value_of(r"5\sqrt{2}")
    assert same_value(fifty, twice)
    assert not same_value(fifty, value_of("7.0710678118"))
    assert not fifty.exact


def test_a_deep_stack_is_no_error():
    assert value_of("(" * 40 + "1" + " + 1)" * 40).value == 41
