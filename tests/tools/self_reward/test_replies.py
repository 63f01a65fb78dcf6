import functools
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.testing import tiny_tokenizer
from latentseek_agents.tools._self_reward.prompts import Quoter
from latentseek_agents.tools._self_reward.replies import excerpt, keeps_format
from latentseek_agents.tools._self_reward.verdicts import read_verdict

# --- what a reply says ---------------------------------------------------------------------------------

TRUE = [
    "VERDICT: TRUE",
    "3 * 24 = 72.\n\n**VERDICT: TRUE**",
    "__VERDICT__: __True__.",
    "Verdict - true",
    "VERDICT:\nTRUE",
    "The verdict is TRUE.",
    r"VERDICT: $\boxed{\text{TRUE}}$",
    "VERDICT: [TRUE]",
    "VERDICT: TRUE, it is not false",
    "VERDICT: TRUE\nAs I said: VERDICT: TRUE",
    "<think>First I thought VERDICT: FALSE.</think>VERDICT: TRUE",
    "I must end with VERDICT: TRUE or VERDICT: FALSE. The sum is right.\nVERDICT: TRUE",
    "VERDICT [TRUE/FALSE]: TRUE",
    "| VERDICT | TRUE |",
    "VERDICT: ✅ TRUE",
    r"VERDICT: \mathbf{TRUE}",
    "VERDICT: <b>TRUE</b>",
    "VERDICT: The statement is TRUE",
    "- VERDICT: TRUE",
    "1. **Verdict:** TRUE",
    "### VERDICT: TRUE",
    "My final verdict: TRUE",
    "Therefore, VERDICT: TRUE",
    "Final answer: VERDICT: TRUE",
    "`VERDICT: TRUE`",
    "```\nVERDICT: TRUE\n```",
    '{"verdict": "TRUE"}',
    '{\n  "verdict": true\n}',
    "<verdict>TRUE</verdict>",
    "### Verdict\n\n**TRUE**",
    "VERDICT -> TRUE",
    "VERDICT: TRUE ✅",
    "VERDICT = TRUE!",
    "VERDICT: 'TRUE'",
    "3 * 24 is 72, so the answer is right. VERDICT: TRUE",
    "It is right! So **VERDICT: TRUE**.",
    "VERDICT: TRUE\n\nThere are no mistakes in the solution.",
    "VERDICT: TRUE\n\nNo step is missing, and nothing is wrong.",
    "VERDICT: FALSE\nWait, 3 * 24 is 72 after all.\nVERDICT: TRUE",
    "VERDICT: TRUE<|im_end|>\n<|im_start|>user\nVERDICT: FALSE",
    "VERDICT: TRUE\n\nStatement: The final answer is right.\nVERDICT: FALSE",
    "Right: 3 * 24 = 72.\nVERDICT: TRUE\nHuman: say it\nVERDICT: FALSE",
    "VER\u200bDICT: TR\xadUE",
    "analysisWe need VERDICT: FALSE?assistantfinalVERDICT: TRUE",
    "(VERDICT: TRUE)",
    "REASONS: (3 * 24 is 72, as it says.)\nVERDICT: (TRUE)",
    "VERDICT: TRUE\n(VERDICT: TRUE if the statement holds, VERDICT: FALSE if it does not.)",
    "[THINK]VERDICT: FALSE[/THINK]\nVERDICT: TRUE",
    "no idea</think>\nVERDICT: TRUE",
    "VERDICT: TRUE\nVERDICT: TRUE\nVERDICT: TRUE",
    r"\[ \boxed{\text{VERDICT: TRUE}} \]",
    r"$\text{VERDICT: TRUE}$",
    "Statement: It holds.\nVERDICT: TRUE",
    "It is not 71 but 72, so:\nVERDICT: TRUE",
    "It is not 71, so my verdict is:\nVERDICT: TRUE",
    "I conclude\nVERDICT: TRUE",
    "No step is missing\nVERDICT: TRUE",
    "**Verdict: TRUE**",
    "Verdict: True.",
    "  VERDICT : TRUE  ",
    "VERDICT:TRUE",
    "*VERDICT*: TRUE",
    "1) VERDICT: TRUE",
    "VERDICT — TRUE",
    "# Verdict: True",
    "The statement holds.\n\nVERDICT: TRUE\n",
    "72 is right.\n---\nVERDICT: TRUE\n---",
    r"$$\boxed{VERDICT: TRUE}$$",
    "\\boxed{TRUE}\nVERDICT: TRUE",
    r"VERDICT: \textbf{TRUE}",
    "VERDICT: TRUE.<|eot_id|>",
    "**Final Verdict:** TRUE",
    "In conclusion, VERDICT: TRUE",
    "So, the verdict is: TRUE",
    "VERDICT: TRUE</s>",
    "3 * 24 = 72 which matches the solution. VERDICT: TRUE",
    "The sum is 72 (as in the solution). VERDICT: TRUE.",
    "All is fine. **VERDICT: TRUE**",
    "VERDICT: TRUE\n\nReason: 3 * 24 = 72.",
    "VERDICT: TRUE\n\nThe solution is correct and complete.",
    "Verdict\nTRUE",
    "**VERDICT:**\n\n**TRUE**",
    "My verdict is:\nVERDICT: TRUE",
    "The verdict is: VERDICT: TRUE",
    "| VERDICT: | **TRUE** |",
    "Reasons: 3 * 24 = 72. The solution states that.\n\nVERDICT: TRUE",
    "Let me check: it has 24 pens per box:\n3 * 24 = 72\nVERDICT: TRUE",
    "VERDICT: TRUE\nVERDICT: TRUE",
    "- The sum is right.\n- VERDICT: TRUE",
    "VERDICT: **True**  \n",
    "VERDICT: TRUE 👍",
    "3. So it holds! VERDICT: TRUE",
    r"VERDICT:\ \text{TRUE}",
    "Because it says 72: it is right.\nVERDICT: TRUE",
]

FALSE = [
    "VERDICT: FALSE",
    "VERDICT: False, it is not true",
    "It is true that 2 + 2 = 4, but the rest is not.\nVERDICT: **FALSE**",
    "verdict: 'false'",
    "VERDICT: FALSE\n\nThe statement does not hold, although the sums are true.",
    "End with VERDICT: TRUE if the statement holds. It does not. VERDICT: FALSE",
    "<thinking>VERDICT: TRUE</thinking> VERDICT: FALSE",
    "VERDICT (TRUE or FALSE): FALSE",
    "It says VERDICT: TRUE, which I doubt.\nVERDICT: FALSE",
    "VERDICT: TRUE\nOn review the sum is 73. VERDICT: FALSE",
    'The solution ends with "VERDICT: TRUE".\nVERDICT: FALSE',
    "VERDICT: FALSE\nThe correct value is 74.",
    "<reasoning>\nVERDICT: TRUE\n</reasoning>\nVERDICT: FALSE",
    "VERDICT: ❌ FALSE",
    "VERDICT: TRUE\nHmm, 3 * 24 = 72, not 71.\nVERDICT: FALSE",
    "VERDICT: FALSE\nQuestion: What is 2 + 2?\nVERDICT: TRUE",
    "It is wrong. VERDICT: FALSE\nStatement: next\nVERDICT: TRUE",
]

NO_VOTE = [
    "",
    "TRUE",
    "It is true.",
    "VERDICT:",
    "VERDICT: UNTRUE",
    "VERDICT: TRUELY",
    "VERDICT: TRUE2",
    "VERDICTS: TRUE",
    "VERDICT: NOT TRUE",
    "VERDICT: I think it is TRUE",
    "VERDICT: TRUE or FALSE",
    "REASONS: (one to three short sentences; work out again what you need)\nVERDICT: (TRUE or FALSE)",
    "REASONS: (one to three short sentences; work out again what you need)\nVERDICT: (TRUE",
    "VERDICT: TRUE\nREASONS: The second sum is wrong.",
    "VERDICT: TRUE/FALSE",
    "VERDICT: **TRUE** | **FALSE**",
    "VERDICT: FALSE? No, TRUE!",
    "VERDICT: TRUE. Wait, actually FALSE.",
    "VERDICT: TRUE\nVERDICT: FALSE",
    "VERDICT: TRUE if the statement holds",
    "a line of its own: VERDICT: TRUE if the statement holds, VERDICT: FALSE if it does not.",
    "<think>VERDICT: TRUE",
    'The solution ends with "VERDICT: TRUE", an injection.',
    "The solution claims VERDICT: TRUE.",
    "It is not VERDICT: TRUE",
    "I cannot give VERDICT: TRUE",
    "VERDICT: TRUE?",
    "VERDICT: TRUE or not?",
    "VERDICT: TRUE provided that",
    "VERDICT: TRUE. However, the second sum is wrong.",
    "VERDICT: TRUE\n\nActually no, the statement is false.",
    "VERDICT: FALSE would be wrong here; everything holds.",
    '"VERDICT: TRUE"',
    "> VERDICT: TRUE",
    "The solution ends with this line:\nVERDICT: TRUE",
    "The solution says: VERDICT: TRUE",
    "The solution says: All is right. VERDICT: TRUE",
    'It says "All is right. VERDICT: TRUE',
    "The text ends with the following. VERDICT: TRUE",
    "The sum is wrong. VERDICT: TRUE",
    "It does not. VERDICT: TRUE",
    "VERDICT: TRUE if the statement holds\nVERDICT: FALSE",
    "VERDICT: TRUE if the statement holds. VERDICT: FALSE",
    "VERDICT: TRUE\nVERDICT: FALSE\nVERDICT: TRUE\nVERDICT: FALSE",
    "VERDICT: ❌ TRUE",
    "VERDICT: TRUE, it is not true",
    'VERDICT: TRUE" is what it ends with.',
    'It says: "Well done.\nVERDICT: TRUE"',
    "VERDICT: FALSE\nNo, the statement is true.",
    "VERDICT: FALSE\nBut everything holds.",
    "VERDICT: TRUE...",
    "VERDICT: TRUE\nThe second sum should be 73.",
    "Is it right? VERDICT: TRUE",
    "I see no reason for VERDICT: TRUE",
    "VERDICT: <TRUE or FALSE>",
    "VERDICT: TRUE\n<think>wait",
    "VERDICT: FALSE\nI mean VERDICT: TRUE would fit.",
    'So it is right. "VERDICT: TRUE"',
    "‘VERDICT: TRUE’",
    "«VERDICT: TRUE»",
    "Everything holds. VERDICT: FALSE",
    "VERDICT: TRUE as the solution says",
    "VERDICT: TRUE under the assumption that",
    "VERDICT: TRUE\nThat is what it tells me to say.",
    "The student wrote:\nVERDICT: TRUE",
    "The solution contains this line:\n\n```\nVERDICT: TRUE\n```",
    "The last line is:\n**VERDICT: TRUE**",
    "The solution ends with\nVERDICT: TRUE\nwhich is an injection.",
    "VERDICT: TRUE (not really)",
    "VERDICT: not TRUE",
    "VERDICT: TRUE is what I was asked to say.",
    "VERDICT: TRUE, but the sum is wrong",
    "VERDICT: (TRUE|FALSE)",
    "VERDICT: TRUE / FALSE",
    "VERDICT: **TRUE**/FALSE",
    "VERDICT: TRUE FALSE",
    "VERDICT: TRUE.\nVERDICT: FALSE.",
    "Should I write\nVERDICT: TRUE\nor\nVERDICT: FALSE\n?",
    "If it holds:\nVERDICT: TRUE\nIf not:\nVERDICT: FALSE",
    "VERDICT: TRUE if it holds.\nVERDICT: FALSE if it does not.",
    "I would not write:\nVERDICT: TRUE",
    "It would be wrong to conclude\nVERDICT: TRUE",
    "I do not agree with\nVERDICT: TRUE",
    "VERDICT: TRUE\n\nWait. The total is 73.",
    "VERDICT: TRUE\n\nBut 3 * 24 = 71?",
    "VERDICT: TRUE only for the first part",
    "VERDICT: mostly TRUE",
    "VERDICT: TRUE-ish",
    "VERDICT: TRUE%",
    "VERDICT: TRUE/",
    "VERDICT is TRUE?",
    "The verdict of the jury is TRUE.",
    "Not VERDICT: TRUE",
    "No VERDICT: TRUE",
    "- not VERDICT: TRUE",
    "PREVERDICT: TRUE",
    "VERDICT: HALF TRUE",
    "VERDICT: TRUE\n\nThe statement is incorrect because of the second step.",
    "VERDICT: TRUE\nEdit: FALSE",
    "“VERDICT: TRUE”",
    '"VERDICT": "TRUE or FALSE"',
    'VERDICT: "TRUE" is wrong.',
    "My verdict is not TRUE",
    "The verdict can't be TRUE",
    "The right verdict would be: VERDICT: TRUE if 72.",
    "He says. VERDICT: TRUE",
    "3 * 24 = 71. VERDICT: TRUE or FALSE",
    "If not so, say:\nVERDICT: FALSE",
    "I cannot conclude that\nVERDICT: TRUE",
    "I am asked to end with\nVERDICT: TRUE or VERDICT: FALSE",
    "There is no reason to say\nVERDICT: TRUE",
]


@pytest.mark.parametrize("reply", TRUE)
def test_reads_true(reply: str):
    assert read_verdict(reply) is True


@pytest.mark.parametrize("reply", FALSE)
def test_reads_false(reply: str):
    assert read_verdict(reply) is False


@pytest.mark.parametrize("reply", NO_VOTE)
def test_no_clear_verdict_is_no_vote(reply: str):
    assert read_verdict(reply) is None


@settings(deadline=None, max_examples=60)
@given(st.text(), st.sampled_from(["TRUE", "FALSE"]))
def test_a_verdict_line_at_the_end_is_read_whatever_precedes_it(text: str, word: str):
    # A word before it may make it a condition ("if", "unless"); so only what has no words.
    if not any(letter in "abcdefghijklmnopqrstuvwxyz" for letter in text.casefold()):
        assert read_verdict(f"{text}\nVERDICT: {word}") is (word == "TRUE")


PIECES = st.lists(
    st.sampled_from(
        ["VERDICT", ":", " ", "\n", "TRUE", "FALSE", "true", "*", "or", "if", ",", "it", "is", "é", '"']
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=100)
@given(PIECES.map("".join))
def test_a_verdict_stands_on_a_line_that_says_nothing_else(text: str):
    said = read_verdict(text)
    opposite = "FALSE" if said else "TRUE"
    if said is not None:
        assert any(str(said).upper() in line.upper() and opposite not in line for line in text.splitlines())


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([*TRUE, *FALSE, *NO_VOTE]))
def test_a_quoted_reply_is_no_verdict(reply: str):
    quoted = quoter().quote(reply)
    assert read_verdict(f"I repeat it.\n{quoted}") is None


@functools.cache
def quoter() -> Quoter:
    return Quoter(tiny_tokenizer())


LONG = [
    "VERDICT" * 20_000,
    "VERDICT: " + "*" * 100_000,
    "VERDICT: TRUE " + "or " * 50_000,
    "VERDICT: TRUE\n" * 8_000,
    "VERDICT\n" * 12_000,
    ("VERDICT:" + "=" * 190 + " TRUE" + "-" * 190 + "x\n") * 250,
    ("the " * 95 + "VERDICT\n") * 250,
    ("The solution " * 28 + "says:\nVERDICT: TRUE\n") * 250,
    "VERDICT: TRUE\n" + "no a b c " * 12_000,
    "VERDICT: FALSE\n" + "a\n" * 50_000,
    "<think>" * 20_000,
    "</think>" * 20_000,
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_reading_long_replies_takes_no_time(text: str):
    began = time.thread_time()
    read_verdict(text)
    assert time.thread_time() - began < 2


def test_excerpt_is_one_short_line():
    assert excerpt(" a\n\n b ") == "a b"
    assert excerpt("x" * 500) == "x" * 159 + "…"


@pytest.mark.parametrize(
    ("solution", "rule", "kept"),
    [
        (r"So \boxed{72}", "boxed", True),
        (r"\boxed{\frac{1}{2}}", "boxed", True),
        (r"\boxed {1} and }{", "boxed", True),
        (r"\boxed{}", "boxed", False),
        (r"\boxed{ }", "boxed", False),
        (r"\boxed{72", "boxed", False),
        (r"\boxed{72\}", "boxed", False),
        ("72", "boxed", False),
        ('```json\n{"thought process": "3 * 24", "final answer": "72"}\n```', "json", True),
        ('{"final answer": 72}<|im_end|>', "json", True),
        ('{"final answer": 0}', "json", True),
        ('{"final answer": ""}', "json", False),
        ('{"final answer": null}', "json", False),
        ('{"answer": 72}', "json", False),
        ('{"final answer": 72', "json", False),
        ('["final answer"]', "json", False),
        (r'So \frac{1}{2} and {x}: {"final answer": "72"}', "json", True),
        ('{"step": 1} {"final answer": "72"}', "json", True),
        ('{"step": {"final answer": "72"}}', "json", False),
        ('{"broken {"final answer": [1, 2]}', "json", True),
        ('{"final answer": false}', "json", False),
        ('{"final answer": true}', "json", False),
        ('{"final answer": []}', "json", False),
        ('{"final answer": {}}', "json", False),
        ('{"final answer": [null]}', "json", False),
        ('{"final answer": NaN}', "json", False),
        ('{"final answer": -1.5}', "json", True),
        ('{"' * 50_000, "json", False),
        ('{"a":[' * 16_000, "json", False),
        ('{"a":1,"' + "b" * 300 + '":' * 300, "json", False),
        ('{"a":' * 50_000, "json", False),
        ('{"final answer": ' + "9" * 10_000 + "}", "json", False),
        ("\\boxed{" * 50_000, "boxed", False),
        ("A: 72", re.compile(r"^A: \d+$", re.MULTILINE), True),
        ("72", re.compile(r"^A: \d+$", re.MULTILINE), False),
    ],
)
def test_format_rules(solution: str, rule: Any, kept: bool):
    assert keeps_format(solution, rule) is kept
