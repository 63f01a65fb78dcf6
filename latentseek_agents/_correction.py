"""Our own words at the end of a solution whose text does not state the answer that won the vote."""

from typing import Any

from latentseek_agents.tools.answers import answers_match, extract_answer
from latentseek_agents.verdict import Attempt


def corrected(attempt: Attempt, answer: str, *, own_program: bool) -> dict[str, Any]:
    r"""The outcome of an attempt with a paragraph that states another answer; what it wrote is left as it is.

    Args:
        attempt: The solution.
        answer: What won the vote; it can be stated in ``\boxed{}``.
        own_program: Whether a program in the solution prints it, rather than one for the question.

    Returns:
        ``answer, text, score, passed, reason``: the answer is the one that is found in the text. The verdict
        was on what the attempt itself states, so score and ``passed`` are None.

    Example:
        >>> made = Attempt(0, [], [], [], "So it is 70. The answer is 70.", "stop", answer="70")
        >>> outcome = corrected(made, "72", own_program=True)
        >>> outcome["answer"]
        '72'
        >>> print(outcome["text"])
        So it is 70. The answer is 70.
        <BLANKLINE>
        [Checked: the program above prints 72, not 70.] The answer is \boxed{72}.
    """
    which = "the program above prints" if own_program else "a program written for this question prints"
    differs = attempt.answer is not None and not answers_match(attempt.answer, answer)
    instead = f", not {attempt.answer}" if differs and "\n" not in str(attempt.answer) else ""
    note = f"[Checked: {which} {answer}{instead}.]"
    plain_note = f"[Checked: {which} {answer}.]"
    statement = f"The answer is \\boxed{{{answer}}}."
    fence = "" if attempt.text.count("```") % 2 == 0 else "\n```"
    body = attempt.text + fence
    # What is stated must be what is found: where the solution hides all that follows it (an open comment,
    # say), the paragraph stands alone. The attempt itself is in ``iterations`` in any case.
    texts = (
        f"{body}\n\n{note} {statement}",
        f"{body}\n\n{plain_note} {statement}",
        f"{plain_note} {statement}",
        statement,
    )
    text = next((one for one in texts if _states(one, answer)), texts[-1])
    reason = f"the vote went to {answer}, which {which.removesuffix(' prints')} prints"
    return {
        "answer": extract_answer(text),
        "text": text,
        "score": None,
        "passed": None,
        "reason": f"{reason}; the correction at the end is ours",
    }


def _states(text: str, answer: str) -> bool:
    found = extract_answer(text)
    return found is not None and answers_match(found, answer)
