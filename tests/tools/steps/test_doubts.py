"""What is right, not claimed or written unusually is not refuted; what is wrong is, in any disguise."""

import time

import pytest

from latentseek_agents.tools._steps.visible_text import visible_text
from latentseek_agents.tools.steps import check_steps

NOT_WRONG = r"""
2 kg + 500 g = 2500 g
1 h + 30 min = 90 min
2 m + 50 cm = 250 cm
1 L + 250 ml = 1250 ml
3 × 20 min = 1 h
4 × 250 g = 1 kg
2 * (1 h + 30 min) = 180 min
3 weeks * 24 hours = 504 hours
3 m² = 30000 cm²
3 m^2 = 30000 cm^2
2 m² + 500 cm² = 20500 cm²
60 mph * 90 minutes = 90 miles
2 dozen + 6 = 30 eggs
2 hundred + 5 = 205
$3k + $500 = $3,500
2.5K * 2 = 5000
1 crore + 1 lakh = 10100000
5'000 + 1 = 5'001
5’000 + 1 = 5’001
1.000 + 500 = 1.500
Guess x = 5: 2x + 3 = 13, too big. Guess x = 4: 2x + 3 = 11. So x = 4.
x = 5: 2x + 3 = 13. x = 4: 2x + 3 = 11.
If x = 1, 2x + 1 = 3; if x = 2, 2x + 1 = 5.
Try x = 3: 3x + 1 = 10. We need 3x+1 = 13 so x = 4
x = -4 and x = 4 solve x^2 = 16
Is 3 + 4 = 8? No, it is 7.
Does 2 + 2 = 5? It doesn't.
It would be wrong to say 2 + 2 = 5.
2 + 2 = 5. No wait, 2 + 2 = 4
2 + 2 = 5. Wait, that is 4.
2 + 2 = 5 -- oops
so 4 + 4 = 9, impossible
2 + 2 = 5 ✗
2 + 2 = 5 ❌
3 * 3 = 10 does not hold
3 * 3 = 10 isn't true
Let a ∗ b = 2a + b. Then 3 ∗ 4 = 10
Define a ⊕ b = 2a + b. Then 3 ⊕ 4 = 10
In base 8, 7 + 1 = 10
7 + 1 = 10 (octal)
In binary, 1 + 1 = 10
On a clock, 10 + 5 = 3
11 pm + 3 h = 2 am
90° = π/2
π/3 = 60°
180° / 3 = π/3
5!! = 15
0.(3) * 3 = 1
0x1F = 31
0b101 + 1 = 6
""".strip().splitlines()

WRONG = [
    "3 * 24 = 71",
    "2 + 2\u200b = 5",
    "2 + 2\x00 = 5",
    "2 + 2 = 5\u00ad",
    "2 + 2 \u2062= 5",
    "2 + 2 = 4\u200b5",
    "2 + 2 ꞊ 5",
    "2 + 2 ⩵ 5",
    "21 + 21 = `45`",
    "21 + 21 = <b>45</b>",
    "<b>21</b> + 21 = <span>45</span>",
    r"21 + 21 = \color{red}{45}",
    r"21 + 21 = \textcolor{red}{45}",
    r"21 + 21 = {\color{red} 45}",
    "2<sup>3</sup> = 9",
    "2 &times; 4 = 9",
    "3 kg * 4 = 13 kg",
    "3 hours * 60 minutes/hour = 190 minutes",
    "2 m + 3 m = 6 m",
    "3 + 3 = 7, so we need 7 more.",
    "3 + 3 = 7, not 8.",
    "Guess x = 4: 2x + 3 = 11. 2x + 3 = 13. So x = 4.",
    "The base is 8 cm. 8 * 3 = 25",
    "Let x + y = 10. 3 + 4 = 8",
]


@pytest.mark.parametrize("text", NOT_WRONG)
def test_in_doubt_nothing_is_refuted(text):
    assert check_steps(text).refuted == []


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_refuted_in_any_disguise(text):
    (equation, *_) = check_steps(text).refuted
    assert text[slice(*equation.span)] == equation.text


@pytest.mark.parametrize("text", ["3 × 20 min = 1 h", "4 × 250 g = 1 kg", "60 mph * 90 minutes = 90 miles"])
def test_short_units_are_converted(text):
    assert [equation.status for equation in check_steps(text).equations] == ["converted"]


def test_identities_are_tried_at_points_that_nobody_knows():
    zeros = "(1013x - 7919)(883x + 6841)(2203x - 3571) = 0"
    assert check_steps(zeros).verdict == "unverifiable"
    assert check_steps("(x + 3)(x - 3) = x^2 - 9").verdict == "ok"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("3 < 4 and 5 > 2", "3 < 4 and 5 > 2"),
        ("a <- b, x<y", "a <- b, x<y"),
        (r"\color{red}{45}", r"           {45}"),
        (r"\textcolor{white}{45} 6", "                      6"),
        ("<b>1</b>", "   1    "),
        ("<p style='x'>1<p>2</p></p>3", " " * 26 + "3"),
        ("[2 + 3](4) = 20", "[2 + 3](4) = 20"),
        ("1 <!-- 2", "1       "),
        ("5\u200b\u200b6 7", "  56 7"),
        ("plain", "plain"),
    ],
)
def test_visible_text(text, seen):
    assert visible_text(text) == seen
    assert len(seen) == len(text)


@pytest.mark.parametrize(
    "piece",
    [
        "<a ", "<a '", '<a "', "<!--", r"\phantom{", r"\color{white}", "<b style=''>", "<div hidden><div>",
        "[a]: b (", "&", "\u200b", "![", r"\textcolor{red}{", "<", "<b></b>", "let a ∗ ", "x = 5: ",
    ],
)  # fmt: skip
def test_hostile_markup_is_read_in_linear_time(piece):
    started = time.thread_time()
    check_steps(piece * (20_000 // len(piece)))
    assert time.thread_time() - started < 1
