r"""JSON as models write it: LaTeX keeps its backslashes, and escapes of JSON stay what they are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents.chat._json_text import JSONTextError, read_json, unescaped, with_commands

COMMANDS = (
    r"\frac{1}{2} \beta \binom52 \neq \nabla \right) \rho \times "
    r"\theta \text{cm} \sqrt2 \cdot \underline{x} \% \nicefrac{1}{2} \num{3} \tag{1} \ref{a} \rule{1}{2} "
    r"\rtimes \rVert \textdegree \textsuperscript{2} \triangleleft \nRightarrow $\nu$ x^\nu x_{\nu}"
)


@pytest.mark.parametrize("command", COMMANDS.split())
def test_a_command_keeps_its_backslash(command: str) -> None:
    written = f'{{"solution": "Here {command} it is"}}'
    assert read_json(written, 0) == ({"solution": f"Here {command} it is"}, len(written))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"one\nTwo", "one\nTwo"),
        (r"one\nnot two", "one\nnot two"),
        (r"for x in a:\n\ttotal += x", "for x in a:\n\ttotal += x"),
        (r"x = 1\ne = 2", "x = 1\ne = 2"),
        (r"one\r\ntwo", "one\r\ntwo"),
        (r"1.\textra\n2.\tag\nnum = 3", "1.\textra\n2.\tag\nnum = 3"),
        (r"$$\nu = 3$$", "$$\nu = 3$$"),
        (r"f(\nu, x)", "f(\nu, x)"),
        (r"C:\reports\files", r"C:\reports\files"),
        (r"\\frac{1}{2}\nu = 3", "\\frac{1}{2}\nu = 3"),
        (r"\\times", r"\times"),
        (r"C:\\new\\table", r"C:\new\table"),
        (r"\u00e9\/\"", 'é/"'),
        (r"\frac{1}{2} \nu", r"\frac{1}{2} \nu"),
        (r"x \ne 3", r"x \ne 3"),
        (r"\lim_{x \to 0}", r"\lim_{x \to 0}"),
        (r"\begin{matrix}1\\2\end{matrix}", r"\begin{matrix}1\\2\end{matrix}"),
        (r"\\begin{matrix}1\\\\2\\end{matrix}", r"\begin{matrix}1\\2\end{matrix}"),
    ],
)
def test_what_is_meant(written: str, meant: str) -> None:
    assert read_json(f'"{written}"', 0)[0] == meant


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    ),
    st.text(alphabet=' x"}]'),
)
def test_proper_json_is_read_as_json(value: Any, rest: str) -> None:
    written = json.dumps(value)
    if not any(escape in written for escape in (r"\b", r"\f", r"\n", r"\r", r"\t")):
        assert read_json(f" {written} {rest}", 0) == (value, len(written) + 1)


@pytest.mark.parametrize("written", ["", "{", '{"a": NaN}', '{"a": 1e999}', '"a', '{"a": "\\"}', "[" * 9999])
def test_what_is_no_json_is_an_error(written: str) -> None:
    with pytest.raises(JSONTextError):
        read_json(written, 0)


@pytest.mark.parametrize(
    ("string", "value"),
    [("'it'", "it"), (r"'it\'s'", "it's"), ("""'say "hi"'""", 'say "hi"'), (r'"\frac12"', r"\frac12")],
)
def test_single_quotes_are_as_good(string: str, value: str) -> None:
    assert unescaped(string) == value


def test_commands_come_back_from_control_characters() -> None:
    for command in (r"\frac{1}{2}", r"\beta", r"\times 3", r"\right)", r"\neq", r"\rule{1}", r"\tag{1}"):
        assert with_commands({"a": [json.loads(f'"{command}"')]}) == {"a": [command]}
    for text in ("one\nTwo\tThree", "one\r\ntwo", "1.\tag 2"):
        assert with_commands(text) == text
