"""Find the final answer in a solution, and compare two answers."""

from latentseek_agents.tools._answers import (
    agreement,
    extract_answer,
    stated_answers,
    unmarked,
    without_sequel,
)

__all__ = ["answers_agree", "answers_match", "extract_answer", "stated_answers", "without_sequel"]


def answers_match(prediction: str, reference: str) -> bool:
    r"""Whether two answers are the same answer.

    Both may carry their marker (``\boxed{5}``, ``#### 5``, "the answer is 5"). A unit may be missing on
    one side, units that differ are converted, lists are unordered and tuples ordered, kinds of brackets
    matter, and a rounded decimal does not equal an exact number. A base that the reference names may be
    left out. What is denied ("≠ 5"), only bounded ("> 5"), crossed out or invisible is no answer.

    Args:
        prediction: The answer to judge.
        reference: The right answer.

    Returns:
        True if they are shown to be equal; False if not, also when that takes longer than 2 s:
        :func:`answers_agree` tells the two apart.

    Example:
        >>> answers_match("0.5", r"\frac{1}{2}")
        True
        >>> answers_match("60 minutes", "1 hour")
        True
        >>> answers_match("5 or 6", "5")
        False
    """
    return answers_agree(prediction, reference) is True


def answers_agree(prediction: str, reference: str) -> bool | None:
    r"""Like :func:`answers_match`, but None if the comparison could not be finished.

    Radicals, functions and letters are compared in a child process; where it has not enough time or memory,
    or cannot be started, nothing is known.

    Example:
        >>> answers_agree(r"\sqrt{12}", r"2\sqrt{3}"), answers_agree("3", "4")
        (True, False)
    """
    prediction, reference = unmarked(prediction), unmarked(reference)
    return agreement(prediction, reference) if prediction and reference else False
