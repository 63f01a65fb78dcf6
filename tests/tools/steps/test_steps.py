import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.tools.steps import StepVerifier, check_steps

QUESTION = "A baker makes 30 rolls in the morning and half as many at noon. How many rolls does he make?"
RIGHT = "At noon he makes 30 / 2 = 15 rolls.\nIn all he makes 30 + 15 = 45 rolls.\nThe answer is 45."

HOLDS = r"""
30/2 = 15, 30 + 15 = 45
$30 \div 2 = 15$
\[ \frac{3}{5} \times 40 = 24 \]
\begin{align*} x &= 6 + 5 \\ &= 11 \end{align*}
**Step 2:** 6 * 11 = **66**
- 21/60 = 0.35
1. 17 - 6 = 11 pens
So $\boxed{3 \cdot 7 = 21}$
The total is $2.50 × 4 = $10.00.
5/3 = 1.67
5/3 = 1.66
5/3 ≈ 1.7
50 / 3 = 16.666666666666668
40/60 x 100% = 67%
30% of 50 = 15
110 - 20% = 88
2.2 million + 0.8 million = 3 million
6 * 25 cents = $1.50
105 / 60 = 1.75 hours = 105 minutes
3 hours * 60 minutes/hour = 180 minutes
2 1/2 + 1/4 = 2 3/4
(4 + 3) × 2 = 14
5^2 + 12^2 = 169
\sqrt{25 + 144} = 13
\sqrt{75} = 5\sqrt{3}
4! = 24
\binom{5}{2} = 10
10*3 = 30 + 5 = 35
2 times 8 equals 16
6 plus 8 is equal to 14
20 / 3 = 6.67 and 6.67 * 6 = 40
9 / 2 = 4 bags
\text{Total} = 3 \times 6 = 18 \text{ dollars}
40 miles per hour * 2 hours = 80 miles
2,200 + 300 = 2,500
\pi \times 3^2 = 28.27
-6 + 3 = -3
4 x (2 + 5) = 28
6(2+1) = 18
{"reasoning": "3 + 6 = 9", "answer": 9}
4x + 5 = 25, 4x = 20, x = 5
x^2 - 7x + 12 = 0, so x = 3 or x = 4
(a-b)^2 = a^2 - 2*a*b + b^2
x² - 4 = (x-2)(x+2)
Let y be the price. 2y + 12 = 40. y = 14.
6 / 1/3 = 18
09:30 is late; 3 + 6 = 9
9 - -2 = 11
1/4 + 1/6 = 5/12
65$ - 5$ = $60
0.1 + 0.2 = 0.3
3 + 6 = 9!
３＋６＝９
40 old cars – 5 cars that left = 35 cars
""".strip().splitlines()

FAILS = r"""
3 + 3 = 7
30/2 = 16
$30 \div 2 = 16$
\[ \frac{3}{5} \times 40 = 25 \]
\begin{align*} x &= 6 + 5 \\ &= 12 \end{align*}
**Step 2:** 6 * 11 = **67**
The total is $2.50 × 4 = $11.00.
2/3 = 0.68
1/3 = 0.34
30% of 50 = 16
6 * 25 cents = $1.75
3 hours * 60 minutes/hour = 190 minutes
2 1/2 + 1/4 = 2 1/4
2 * (3 + 5) = 11
\sqrt{25 + 144} = 14
\sqrt{75} = 6\sqrt{3}
4! = 25
2 times 8 equals 17
40 miles per hour * 2 hours = 70 miles
10^{30} + 1 = 10^{30}
4x + 5 = 25, 4x = 20, x = 6
2y + 12 = 40. y = 13.
x^2 - 7x + 12 = 0, so x = 5
3 + 3 = 6 is wrong, as 3 + 3 = 7
{"reasoning": "3 + 6 = 8", "answer": 9}
3 + 6 = 9 = 10
40 - 36 = -4
３＋６＝８
""".strip().splitlines()

OPEN = r"""
Day 3 = 7 apples
7 = 7
7 + 0 = 7
7 * 1 = 7
y = y
a = b = c
1/0 = 5
0/0 = 1
Total = 8
3 hours = 180 minutes
12 apples = 4 bags
3 + 3 = 7 is wrong
if 3 + 3 = 7 then
26 - 40 = 14 seconds left
60 + 30 = 1 hour 30 minutes
25 pupils + his 1 teacher + 1 = 26
23 \equiv 3 \pmod 5
23 mod 5 = 3
0.011_2 = 3/8
f(3) + 1 = 9
\log_2{8} = 3
x_1 + 3 = 5
f(x) + f(y) = f(x + y)
- 3 + 5 = 2
1,5 + 2 = 3,5
20% off $80 = $64
half of 30 = 16
|3 - 8| = 5
50 000 + 42 000 = 92 000
1 + 2 + ... + 10 = 54
\sin 30^\circ = 1/3
2024-03-05 = 2018
З + 4 = 8
{}{}{} = {}
\sum_{k=1}^{10} k = 54
2x + y = 10
when x = 3, y = 2x = 6
H2O + 2 = 5
5 * apples = 20
<!-- 3 + 6 = 9 -->
\phantom{3 + 6 = 9}
5 + 3 < 2 =
2**(2**40) = 1
9**9**9**9 = 5
""".strip().splitlines()


@pytest.mark.parametrize("text", HOLDS)
def test_true_steps_hold(text):
    report = check_steps(text)
    assert report.verdict == "ok", report.equations


@pytest.mark.parametrize("text", FAILS)
def test_false_steps_are_refuted(text):
    report = check_steps(text)
    assert report.verdict == "wrong", report.equations


@pytest.mark.parametrize(
    "text",
    [
        r"A = \frac{1}{2}bh = \frac{1}{2}(10)(3) = 15",
        r"V = \frac{1}{3}Bh = \frac{1}{3}(9)(4) = 12",
        "2h + 1 = 2(5) + 1 = 11",
        "8s^2 = 8(2^2) = 32",
        "10% + 30% = 40% of 300 = 120",
        "1/8 + 1/8 = 1/4 * 12 = 3",
        "24 : 6 + 3 = 7",
    ],
)
def test_formulas_and_running_shares_are_not_wrong(text):
    assert not check_steps(text).refuted


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


@pytest.mark.parametrize("text", OPEN)
def test_when_in_doubt_a_step_stays_open(text):
    report = check_steps(text)
    assert report.verdict == "unverifiable", report.equations


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
    texts = [*HOLDS, *FAILS, *OPEN]
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
