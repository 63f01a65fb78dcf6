import json
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.tools.steps import StepVerifier, check_steps

QUESTION = "A baker makes 30 rolls in the morning and half as many at noon. How many rolls does he make?"
RIGHT = "At noon he makes 30 / 2 = 15 rolls.\nIn all he makes 30 + 15 = 45 rolls.\nThe answer is 45."

CASES = json.loads(Path(__file__).with_name("step_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:40])
def test_steps_are_judged_right(case):
    report = check_steps(case["text"])
    if case["verdict"] == "not wrong":
        assert report.refuted == []
    else:
        assert report.verdict == case["verdict"], report.equations
    for equation in report.refuted:
        assert case["text"][slice(*equation.span)] == equation.text


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("| Ink | 6 × $2 = $13 |", "6 × $2 = $13"),
        ("| a | b |\n|---|---|\n| 5 + 4 = 9 | 9 * 3 = 28 |\n", "9 * 3 = 28"),
        ("so 2(13) = 2 * 13 = 27 cm", "2 * 13 = 27 cm"),
    ],
)
def test_cells_of_tables_are_read(text, wrong):
    assert [equation.text for equation in check_steps(text).refuted] == [wrong]


def test_bars_outside_tables_are_not_read_as_cells():
    assert check_steps("|3 - 8| = 5, |2 - 9| + 1 = 8").verdict == "unverifiable"


def test_the_report_says_where_and_why():
    text = "She has ４８/2 = 24 pens.\nThen 24 × 3 = 71 pens."
    first, second = check_steps(text).equations
    assert (first.status, first.text, first.value) == ("ok", "４８/2 = 24 pens", 24)
    assert (second.status, second.text, second.value) == ("wrong", "24 × 3 = 71 pens", 72)
    assert text[slice(*second.span)] == second.text
    assert second.reason == "72 is not 71"
    assert check_steps(text).refuted == [second]


def test_links_of_a_chain_are_judged_one_by_one():
    statuses = [equation.status for equation in check_steps("2 + 3 = 5 = 10 / 2 = 6").equations]
    assert statuses == ["ok", "ok", "wrong"]


def test_statuses_tell_how_it_holds():
    cases = {
        "2 + 3 = 5": "ok",
        "2 / 3 = 0.67": "rounded",
        "3 * 50% = 150": "converted",
        "5 * 2 = 10 + 3 = 13": "running",
        "5 + 0 = 5": "trivial",
        "2 + 3 = 3 + 2": "trivial",
    }
    assert {text: check_steps(text).equations[0].status for text in cases} == cases


def test_repeats_earn_nothing():
    statuses = [equation.status for equation in check_steps("2 + 3 = 5. Again 2 + 3 = 5.").equations]
    assert statuses == ["ok", "trivial"]


# -- properties ----------------------------------------------------------------------------------------

_TRUE = st.tuples(st.integers(2, 999), st.sampled_from("+-*"), st.integers(2, 99))
_TEMPLATES = (
    "{} = {}",
    "So {} = {} pens.",
    "Tom gets ${}$ = ${}$ now",
    "**{} = {}**",
    "- {} = {}\n",
    "$${} = {}$$",
)


def _value(case):
    left, operator, right = case
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


@settings(max_examples=60)
@given(_TRUE, st.sampled_from(_TEMPLATES))
def test_true_arithmetic_is_never_wrong(case, template):
    text = template.format(" ".join(map(str, case)), _value(case))
    assert check_steps(text).verdict == "ok"


@settings(max_examples=60)
@given(_TRUE, st.sampled_from(_TEMPLATES), st.sampled_from([-1, 1]))
def test_off_by_one_is_wrong(case, template, slip):
    text = template.format(" ".join(map(str, case)), _value(case) + slip)
    if _value(case) >= 0:
        assert check_steps(text).verdict == "wrong"


@settings(max_examples=60)
@given(st.integers(1, 500), st.integers(2, 60), st.integers(1, 4))
def test_quotients_hold_at_any_number_of_decimals(top, bottom, places):
    shown = f"{top / bottom:.{places}f}"
    assert check_steps(f"{top} / {bottom} = {shown}").verdict in ("ok", "unverifiable")


@settings(max_examples=50)
@given(st.integers(2, 40), st.integers(1, 90), st.integers(1, 40), st.integers(1, 9))
def test_solutions_of_linear_equations(factor, constant, solution, slip):
    equation = f"{factor}n + {constant} = {factor * solution + constant}"
    assert check_steps(f"{equation}, so n = {solution}.").verdict == "ok"
    assert check_steps(f"{equation}, so n = {solution + slip}.").verdict == "wrong"


_PIECES = st.sampled_from(
    [
        *"=≈}{()xy+-*/^!%$[],.π½²'_|€√& \ń",
        "1",
        "20",
        "3.5",
        "**",
        "<<",
        "####",
        "of",
        "and",
        "the",
        "dozen",
        "million",
        "cents",
        "is equal to",
        r"\frac{",
        r"\sqrt",
        r"\text{",
        r"\boxed{",
        r"\\",
    ]
)


@given(st.lists(_PIECES, max_size=60).map("".join) | st.text(max_size=120))
def test_any_text_gets_a_report(text):
    report = check_steps(text, text)
    for equation in report.equations:
        start, end = equation.span
        assert 0 <= start < end <= len(text)
        assert text[start:end] == equation.text
    for signal in report.signals:
        assert signal.value is None or 0 <= signal.value <= 1
    assert -1 <= StepVerifier()(text, text).score <= 0


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000 + " = 1",
        r"\frac{1}{" * 2500 + "}" * 2500 + " = 2",
        "1 " * 50_000,
        "5 = " * 20_000,
        "x = " * 20_000,
        "1+" * 10_000 + "1 = 5",
        "1," * 20_000 + "1 = 5",
        "\n" * 100_000,
        "\\" * 100_000,
        r"\boxed{" * 10_000,
        "the " * 10_000 + "= 5",
        "9" * 50_000 + " = 1",
        "2^" * 10_000 + "2 = 4",
        "€" * 20_000 + "1 = 1",
        "√" * 20_000 + "1 = 1",
        "3 + 4 = 7 " * 3000,
        "5! " * 5000 + "= 1",
        "<<" * 10_000,
    ],
    ids=range(18),
)
def test_hostile_texts_are_quick(text):
    started = time.thread_time()
    check_steps(text, text)
    assert time.thread_time() - started < 2


def test_hostile_texts_need_little_memory():
    tracemalloc.start()
    try:
        check_steps("7 = " * 5000 + "1 / 3 " * 5000, "1 " * 50_000)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_no_text_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_steps("__import__('os').system('touch seen') = 1. [open('seen', 'w')][0] = 1. 3 + 4 = 7")
    assert list(tmp_path.iterdir()) == []


def test_the_result_is_the_same_in_any_thread():
    texts = [case["text"] for case in CASES]
    expected = [check_steps(text, QUESTION) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: check_steps(text, QUESTION), texts)) == expected
    small = []
    threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(
            target=lambda: small.append(check_steps("(" * 45 + "1" + ")" * 45 + " = 1"))
        )
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    assert len(small) == 1
