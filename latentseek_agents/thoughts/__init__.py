r"""What a model thought, apart from what it answered: the one place that tells them apart.

Answers, step checks, programs, votes, verifiers, the chat model and the evaluation all read through
:func:`split_thoughts`. It knows the marks of the families of models that people run (``_families.py``); which
of them a model uses, its tokenizer says (:meth:`ThoughtFormat.of`). Without a tokenizer all marks count where
a model would write them: prose about a tag, and tags in code, stay prose and code. Where token
ids are at hand they decide which marks are marks, as does a budget that has closed a thought
(:class:`TokenMarks`).

Example:
    >>> split = split_thoughts("<think>Is it \\boxed{5}? No.</think>\n\nIt is \\boxed{4}.")
    >>> split.thinking, split.text
    ('Is it \\boxed{5}? No.', 'It is \\boxed{4}.')
    >>> split_thoughts("The <think> tag opens a thought.").text
    'The <think> tag opens a thought.'
"""

from latentseek_agents.thoughts._format import ANY_FORMAT, ThoughtFormat
from latentseek_agents.thoughts._marks import NO_TOKENS, TokenMarks
from latentseek_agents.thoughts._split import (
    AnswerView,
    Part,
    Split,
    answer_part,
    split_thoughts,
)
from latentseek_agents.thoughts._stream import ThoughtStream

__all__ = [
    "ANY_FORMAT",
    "NO_TOKENS",
    "AnswerView",
    "Part",
    "Split",
    "ThoughtFormat",
    "ThoughtStream",
    "TokenMarks",
    "answer_part",
    "split_thoughts",
]
