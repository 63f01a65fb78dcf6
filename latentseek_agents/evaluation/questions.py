"""Which question a number stands for: results of different ones are never taken for results of one."""

from typing import NamedTuple

__all__ = ["KnownQuestions", "Question"]


class Question(NamedTuple):
    """A question, as far as a line of results tells.

    Args:
        reference: The known answer.
        digest: Of question and known answer; None in the lines of earlier versions.
    """

    reference: str
    digest: str | None

    def may_be(self, other: "Question") -> bool:
        """Whether both may be the same question: without two digests, the known answers decide."""
        return self.reference == other.reference and len({self.digest, other.digest} - {None}) < 2


class KnownQuestions:
    """The questions of a run, by data set and number.

    Example:
        >>> known = KnownQuestions()
        >>> known.add("gsm8k", 0, Question("72", None)), known.add("gsm8k", 0, Question("72", "a"))
        (True, True)
        >>> known.add("gsm8k", 0, Question("72", "b")), known.add("gsm8k", 1, Question("72", "b"))
        (False, True)
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], Question] = {}

    def add(self, dataset: str, number: int, question: Question) -> bool:
        """Take in a question.

        Returns:
            Whether the number may stand for it; if another question is known by then, that one stays.
        """
        known = self._found.get((dataset, number))
        if known is not None and not known.may_be(question):
            return False
        if known is None or known.digest is None:
            self._found[dataset, number] = question
        return True
