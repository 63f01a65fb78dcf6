"""A number that an answer denies, bounds, crosses out or hides is not the answer."""

import pytest

from latentseek_agents.tools import GroundTruth, answers_match

BASED = ("72₈", "72_8", r"72_{\text{eight}}", "72 base 8")
DENIED = (
    *("≠72", "≠ 72", "=\u033872", r"\neq 72", r"\ne 72", r"\not= 72", r"\not = 72", "!=72", "not 72"),
    *(">72", "<72", r"\geq 72", "≥72", r"\leq 72", "<= 72", r"\lt 72", r"\gt72", "(>72)", "> 72 cm"),
    *("x ≠ 72", "x > 72", r"x \neq 72", "72 >", "x > > 72", "=> 72"),
    *("not = 72", "x is not = 72", "never = 72", "! = 72", "¬ = 72", r"\neg = 72", "wrong = 72"),
    *(r"\phantom{72}", r"\hphantom{72}", r"\phantom {72}", r"\phantom{\frac{144}{2}}"),
    *("72\u0336", "7\u03362\u0336", "7\u03382\u0338", "\u033672", "~~72~~", "<s>72</s>", "<del>72</del>"),
    *(r"\cancel{72}", r"\sout{72}", r"\xcancel{72}", r"\cancel{x} = 72"),
    *(r"\color{white}{72}", r"\textcolor{White}{72}", r"\color{transparent}72"),
    *BASED,
)


@pytest.mark.parametrize("answer", DENIED)
def test_denied(answer: str):
    assert answers_match(answer, "72") is False
    # A reference may name a base that the answer leaves out.
    assert answers_match("72", answer) is (answer in BASED)
    assert GroundTruth("72")("What is 3 * 24?", rf"\boxed{{{answer}}}").passed is not True
    assert answers_match(answer, answer) is True


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("= 72", "72"),
        ("≈72", "72"),
        ("about 72", "72"),
        ("x = 72", "72"),
        ("the area = 72", "72"),
        (r"\angle A = 72", "72"),
        ("□ = 72", "72"),
        (r"72\phantom{0}", "72"),
        (r"\color{red}{72}", "72"),
        (r"\textcolor{blue}{72}", "72"),
        ("5~cm", "5 cm"),
        ("≠ 72", r"\neq 72"),
        ("x ≠ 3", r"x \not= 3"),
        ("x > 3", "3 < x"),
        # The reference names the base, or the digits are the same in both.
        ("72", "72₈"),
        ("72", "x = 72_8"),
        ("58", "72_8"),
        ("72₈", "58"),
        ("5_8", "5"),
    ],
)
def test_not_denied(answer: str, reference: str):
    assert answers_match(answer, reference) is True


def test_what_is_hidden_equals_nothing_else():
    assert answers_match(r"\phantom{1}", r"\phantom{2}") is False
    assert answers_match("$ $", "$$") is False
