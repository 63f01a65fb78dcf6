"""A verifier that fails once, as if the power had gone."""

from latentseek_agents import Verdict
from latentseek_agents.verdict import Verifier

__all__ = ["Power", "failing_at"]


class Power(BaseException):
    """The process is killed."""


def failing_at(number: int, verifier: Verifier) -> Verifier:
    """A verifier that judges as another one does, and is killed at its verdict of this number, from 1."""
    seen: list[str] = []

    def judge(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        seen.append(solution)
        if len(seen) == number:
            raise Power
        return verifier(question, solution)

    return judge
