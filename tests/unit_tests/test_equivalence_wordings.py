"""Answers in other words and in school-book notations, each class with what only looks alike."""

import pytest

from latentseek_agents.tools.equivalence import equivalent

EQUAL = {
    "roots and distances": [
        ("∛64", "4"),
        ("2∜16", "4"),
        (r"\begin{pmatrix} 1 \\[4pt] 7 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 7 \end{pmatrix}"),
        ("(A) and then some", "(A)"),
    ],
    "systems": [
        (r"\begin{cases} x = 1 \\ y = 2 \end{cases}", "y=2, x=1"),
        (r"\begin{cases} x = 1 \\ y = 2 \end{cases}", "(1,2)"),
        (r"\begin{cases} x+y=3 \\ x-y=1 \end{cases}", r"\begin{aligned} x-y&=1 \\ x+y&=3 \end{aligned}"),
        (r"\left\{\begin{array}{l} x=1 \\ y=2 \end{array}\right.", "x=1, y=2"),
    ],
    "functions by cases": [
        (
            r"\begin{cases} x & \text{if } x \ge 0 \\ -x & \text{if } x < 0 \end{cases}",
            r"f(x) = \begin{cases} -x, & x < 0 \\ x, & x \geq 0 \end{cases}",
        ),
        (
            r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}",
            r"\begin{cases} x & x \ge 0 \\ -x & \text{otherwise} \end{cases}",
        ),
    ],
    "determinants": [
        (r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}", "-2"),
        (r"\det\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "-2"),
        (r"\begin{vmatrix} a & b \\ c & d \end{vmatrix}", "ad-bc"),
        (r"\left|\begin{matrix} 2 & 0 & 0 \\ 0 & 3 & 0 \\ 0 & 0 & 4 \end{matrix}\right|", "24"),
    ],
    "combinations": [
        ("C(8,3)", "56"),
        ("{}_8C_3", "56"),
        ("8C3", "56"),
        ("{}^8C_3", r"\binom{8}{3}"),
        (r"{8 \choose 3}", "56"),
        ("8 choose 3", "56"),
        ("C_8^3", "56"),
        ("P(5,2)", "20"),
        ("5!!", "15"),
        (r"\sum_{k=1}^{4} k^2", "30"),
        (r"\prod_{i=1}^{4} i", "24"),
    ],
    "congruences": [
        (r"x \equiv 3 \pmod 7", "x ≡ 10 (mod 7)"),
        (r"x \equiv 3 \mod 7", r"3 \pmod{7}"),
        (r"17 \bmod 5", "2"),
        ("17 mod 5", "2"),
    ],
    "compound units": [
        (r"5 \frac{m}{s^2}", "5 m/s^2"),
        (r"5\ \frac{\text{m}}{\text{s}^2}", "5 meters per second squared"),
        (r"9.8 \, \mathrm{m\,s^{-2}}", "9.8 m/s^2"),
        ("5'6\"", "66 inches"),
        ("1h 30min", "90 minutes"),
    ],
    "prices": [
        ("£5", "5 pounds"),
        ("5€", "5 euros"),
        ("$1.50 per pound", "$1.50"),
        (r"\$15/hour", r"\$15"),
        ("$5k", "$5000"),
        (r"\$42\$", "42"),
    ],
    "ordinals": [
        ("3rd", "third"),
        ("3rd place", "third"),
        ("21st", "twenty-first"),
        (r"3^{\text{rd}}", "3rd"),
    ],
    "parts in words": [
        ("half", "1/2"),
        ("a quarter", "0.25"),
        ("three-quarters", "3/4"),
        ("a third", "1/3"),
        ("a dozen", "12"),
        ("half a dozen", "6"),
        ("one and a half", "1.5"),
        ("two and a half hours", "150 minutes"),
        ("half an hour", "30 minutes"),
        ("6 and 1/2", "6.5"),
        ("three point one four", "3.14"),
        ("1 out of 4", "1/4"),
    ],
    "remainders": [("17 R 2", "17 remainder 2"), (r"17 \text{ R } 2", "17 R2")],
    "changes": [
        ("increase of 10%", "10 percent increase"),
        ("a loss of $5", "$5 loss"),
        ("10% increase", "10%"),
    ],
    "approximate": [
        (r"\sqrt{2} \approx 1.414", r"\sqrt2"),
        ("approximately 3.14", "3.14"),
        (r"x \approx 3.14", "3.14"),
        ("about $5", "5 dollars"),
    ],
    "angles": [
        (r"180 \deg", r"180^\circ"),
        (r"90^\circ - 30^\circ", r"60^\circ"),
        (r"\frac{360^\circ}{5}", "72"),
        (r"\frac{\pi}{6}\text{ rad}", "30 degrees"),
        (r"\frac{\pi}{6}\text{ radians}", r"\frac{\pi}{6}"),
        (r"\arctan 1", r"45^\circ"),
    ],
    "sets of numbers": [
        (r"\mathbb{R}\setminus\{0\}", r"(-\infty,0)\cup(0,\infty)"),
        (r"\mathbb{R} - \{1, 2\}", r"x \ne 1, 2"),
        (r"x \neq 0", "all real numbers except 0"),
        (r"\{x \in \mathbb{R} : x \ne 3\}", r"(-\infty,3)\cup(3,\infty)"),
        (r"[1,3]\cap[2,5]", "[2,3]"),
        (r"(0,5)\setminus\{2\}", r"(0,2)\cup(2,5)"),
        ("|x| < 3", "(-3,3)"),
        (r"|x-1| \ge 2", r"(-\infty,-1]\cup[3,\infty)"),
        ("x > 1 and x < 5", "(1,5)"),
        ("{x | 1 < x < 2}", "(1,2)"),
        ("(-inf, 4)", r"(-\infty,4)"),
        (r"\{1,2\}\cup\{3\}", r"\{1,2,3\}"),
        (r"\{1,2,3\}\setminus\{2\}", r"\{1,3\}"),
        ("ℝ∖{0}", r"\mathbb{R}\{0\}"),
        (r"\mathbb{Z}", "integers"),
    ],
    "sentences": [
        (r"\text{The area is } 12", "12"),
        ("The value of x is 7", "x = 7"),
        ("the area is twelve", "Area: 12 cm^2"),
        (r"Therefore, Anna makes \$18 per day.", "18"),
        ("|AB|=5", "AB = 5"),
        ("the point (3,4)", "(3,4)"),
        ("a total of 24", "24"),
        ("24 (km)", "24 km"),
        ("Yes, it is", "yes"),
        ("T(n) = n^2", "n^2"),
        (r"\frac{dy}{dx} = 2x", "2x"),
        (r"f^{-1}(x) = 2x", "2x"),
        (r"\sin x = \frac12", "1/2"),
    ],
    "number bases": [
        ("FF_16 = 255", "255"),
        ("0xFF", "FF_{16}"),
        ("FF_{16}", "255"),
        ("101_2", "5"),
    ],
    "products of letters": [("x*y*z", "zyx")],
    "repeating decimals": [
        ("3.1\u0305", "28/9"),
        ("0.2\u03057\u0305", "3/11"),
        ("0.1\u03074\u0307", "14/99"),
        (r"0.\overline{36}...", "4/11"),
    ],
    "stray dressing": [("5{:}30", "5:30"), (r"4\!2", "42")],
}

DIFFERENT = {
    "several choices": [("(A) and (B)", "(A)"), ("(B), (C)", "B"), ("∛64", "8")],
    "systems": [
        (r"\begin{cases} x = 1 \\ y = 2 \end{cases}", "x=2, y=1"),
        (r"\begin{cases} x = 1 \\ y = 2 \end{cases}", "x=1"),
        (r"\begin{cases} x+y=3 \\ x-y=1 \end{cases}", r"\begin{cases} x-y=3 \\ x+y=1 \end{cases}"),
    ],
    "functions by cases": [
        (
            r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}",
            r"\begin{cases} x & x > 0 \\ -x & x \le 0 \end{cases}",
        ),
        (
            r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}",
            r"\begin{cases} -x & x \ge 0 \\ x & \text{otherwise} \end{cases}",
        ),
        (r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}", "x, -x"),
    ],
    "determinants": [
        (r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}", "2"),
        (r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}", "10"),
    ],
    "combinations": [
        ("C(8,3)", "336"),
        ("P(8,3)", "56"),
        ("C(8,3)", "8/3"),
        ("5!!", "120"),
        (r"\sum_{k=1}^{4} k", "9"),
    ],
    "congruences": [
        (r"x \equiv 3 \pmod 7", r"x \equiv 4 \pmod 7"),
        (r"x \equiv 3 \pmod 7", r"x \equiv 3 \pmod 5"),
        (r"x \equiv 3 \pmod 7", r"y \equiv 3 \pmod 7"),
        (r"x \equiv 3 \pmod 7", "10"),
        (r"17 \bmod 5", "3"),
    ],
    "compound units": [
        (r"5 \frac{m}{s^2}", "5 m/s"),
        ("5 m/s^2", "5 km/s^2"),
        ("5 kg m/s", "5 kg m/s^2"),
        ("5'6\"", "5.6"),
    ],
    "prices": [
        ("£5", "$5"),
        ("£5", "5 kg"),
        ("5 pounds", "$5"),
        ("5 pounds", "5 ounces"),
        ("$1.50 per pound", "$1.50 per kilogram"),
        (r"\$15/hour", r"\$15/day"),
        (r"\$15/hour", "15 cents"),
        ("$5 per apple", "$5 per orange"),
    ],
    "ordinals": [
        ("3rd", "4th"),
        ("third", "1/3"),
        ("3rd place", "2nd place"),
        ("3rd floor", "3rd row"),
        ("3th", "3rd"),
    ],
    "parts in words": [
        ("half", "2"),
        ("three quarters", "4/3"),
        ("half a dozen", "12"),
        ("6 and 1/2", "6, 2"),
        ("6 and 1/2", "3"),
        ("1 and 2", "3"),
        ("1 out of 4", "4"),
    ],
    "remainders": [("17 R 2", "17"), ("17 R 2", "17 R 3"), ("17 R 2", "34R"), ("17 R 2", "(17, 2)")],
    "changes": [
        ("increase of 10%", "10% decrease"),
        ("$5 profit", "$5 loss"),
        ("5 more", "5 less"),
        ("12 ways", "12%"),
    ],
    "approximate": [
        ("approximately 3.14", r"\pi"),
        ("about 0.33", "1/3"),
        ("about 5 or 6", "5"),
        ("about 5", "6"),
    ],
    "angles": [
        (r"90^\circ - 30^\circ", "120"),
        ("30 rad", r"30^\circ"),
        (r"\frac{\pi}{6}\text{ rad}", r"60^\circ"),
        (r"180 \deg", "180 cm"),
    ],
    "sets of numbers": [
        (r"\mathbb{R}\setminus\{0\}", r"\mathbb{R}"),
        (r"\mathbb{R}\setminus\{0\}", "0"),
        (r"x \neq 0", "x = 0"),
        (r"[1,3]\cap[2,5]", "[1,5]"),
        ("|x| < 3", "(-3,3]"),
        ("|x| > 3", "(-3,3)"),
        ("x > 3", "y > 3"),
        ("x > 1 and x < 5", "x > 1 or x < 5"),
        ("(2,1)", "(3,1)"),
        (r"\{1,2\}\cup\{3\}", r"\{1,2\}"),
        (r"\mathbb{Z}", r"\mathbb{Q}"),
        (r"(1,2)\cup(3,4)", "(1,2), (3,4)"),
    ],
    "sentences": [
        ("the area is not 12", "12"),
        ("the area is 12", "the perimeter is 12"),
        ("the area is at least 12", "12"),
        ("x is 7 or 8", "7"),
        ("x is less than 7", "7"),
        ("Anna makes at most 18", "18"),
        ("it drops to negative 5", "5"),
        ("one half of 12", "12"),
        ("none of them is 5", "5"),
        ("|AB|=5", "-5"),
        ("AB = 10", "CD = 10"),
        ("It can't be 5", "5"),
        ("anything except 5", "5"),
        ("The incorrect value is 5", "5"),
        ("Anna has 5", "Ben has 5"),
        ("P(A) = 1/3", "P(B) = 1/3"),
        ("f(2) = 4", "f(3) = 4"),
        ("f'(x) = 2x", "f(x) = 2x"),
        ("5 squared", "5"),
        ("Yes, but no", "yes"),
        ("the square of 5", "5"),
        ("Anna beats Ben 5 to 3", "5"),
        ("|x|=5", "5"),
        (r"\sin x = 1/2", r"\cos x = 1/2"),
        (r"\sin x = 1/2", "x = 1/2"),
    ],
    "number bases": [("FF_16 = 254", "254"), ("FF_{16}", "FF_{15}"), ("FF_{16}", "256"), ("0xFF", "0")],
    "products of letters": [("xyz", "xy+z"), ("cat", "act")],
    "repeating decimals": [("3.1\u0305", "3.1"), ("0.1\u03074\u0307", "0.14")],
    "stray dressing": [("4 2", "42")],
}


def _cases(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    return [pytest.param(a, b, id=f"{name}: {a} ~ {b}") for name, pairs in table.items() for a, b in pairs]


@pytest.mark.parametrize(("first", "second"), _cases(EQUAL))
def test_equal(first: str, second: str) -> None:
    assert equivalent(first, second)
    assert equivalent(second, first)


@pytest.mark.parametrize(("first", "second"), _cases(DIFFERENT))
def test_different(first: str, second: str) -> None:
    assert not equivalent(first, second)
    assert not equivalent(second, first)
