"""The marks that families of models put around their thoughts."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One pair of marks.

    Args:
        name: Names the pair.
        opens: The mark before a thought.
        closes: The mark behind it.
        tag: It is written as a tag of XML is: in any case, and any other such tag closes it as well.
        only_first: It opens a thought at the beginning of a line only: elsewhere it is a word, or a field of
            data.
        is_sentence: Its marks are words that any model may write: without the closing ones it opens nothing.
    """

    name: str
    opens: str
    closes: str
    tag: bool = False
    only_first: bool = False
    is_sentence: bool = False


FAMILIES: tuple[Family, ...] = (
    # DeepSeek R1, Qwen 3, SmolLM 3, GLM 4.5, Olmo 3, Nemotron, Phi 4 reasoning, MiniMax, LFM 2 and many more.
    Family("think", "<think>", "</think>", tag=True),
    Family("thinking", "<thinking>", "</thinking>", tag=True),
    Family("seed", "<seed:think>", "</seed:think>", tag=True),
    Family("longcat", "<longcat_think>", "</longcat_think>", tag=True),
    # EXAONE Deep and fine-tunes.
    Family("thought", "<thought>", "</thought>", tag=True, only_first=True),
    Family("thoughts", "<thoughts>", "</thoughts>", tag=True, only_first=True),
    Family("reasoning", "<reasoning>", "</reasoning>", tag=True, only_first=True),
    Family("reflection", "<reflection>", "</reflection>", tag=True, only_first=True),
    Family("scratchpad", "<scratchpad>", "</scratchpad>", tag=True, only_first=True),
    # Magistral and Ministral 3: special tokens.
    Family("mistral", "[THINK]", "[/THINK]"),
    # Kimi VL and Kimi 1.5.
    Family("kimi", "◁think▷", "◁/think▷"),
    # Sky-T1 and OpenThinker.
    Family("open_thinker", "<|begin_of_thought|>", "<|end_of_thought|>"),
    # Command A reasoning.
    Family("cohere", "<|START_THINKING|>", "<|END_THINKING|>"),
    Family("apertus", "<|inner_prefix|>", "<|inner_suffix|>"),
    Family("gemma", "<|channel>thought", "<channel|>"),
    Family("medgemma", "<unused94>thought", "<unused95>"),
    # Granite 3.2: no tokens, but fixed words.
    Family(
        "granite", "Here is my thought process:", "Here is my response:", only_first=True, is_sentence=True
    ),
)

ANSWER_MARKS: tuple[str, ...] = (
    "<|begin_of_solution|>",
    "<|end_of_solution|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|START_TEXT|>",
    "<|END_TEXT|>",
)
"""Marks around an answer: they go, and the answer stays."""

HARMONY = "harmony"
"""The name of the format of gpt-oss, whose messages each name their channel; see ``_channels.py``."""

HARMONY_MARKS: tuple[str, ...] = (
    "<|start|>",
    "<|channel|>",
    "<|constrain|>",
    "<|message|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
)

ALL_NAMES = frozenset([*(family.name for family in FAMILIES), HARMONY])


def spelled(family: Family, mark: str) -> str:
    """A mark as a regular expression."""
    pattern = re.escape(mark)
    if family.tag:
        return f"(?i:{pattern})"
    return rf"(?m:^){pattern}" if family.is_sentence else pattern


MARK = re.compile(
    r"(?=[<\[◁H])(?:"  # most places are ruled out at once
    + "|".join(
        [
            *(f"(?P<open_{family.name}>{spelled(family, family.opens)})" for family in FAMILIES),
            *(f"(?P<close_{family.name}>{spelled(family, family.closes)})" for family in FAMILIES),
            f"(?P<answer>{'|'.join(map(re.escape, ANSWER_MARKS))})",
        ]
    )
    + ")"
)
"""Finds every mark of every family but the channels of gpt-oss; the last group names it."""
BY_NAME = {family.name: family for family in FAMILIES}
