"""A search asks a verifier about an attempt."""

from collections.abc import Sequence

from langgraph.errors import GraphBubbleUp

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.errors import VerdictError
from latentseek_agents.graphs.decisions import accepts
from latentseek_agents.verdict import Attempt, Usage, VerifierLike, ask, judging_above

__all__ = ["judge"]


def judge(
    verifier: VerifierLike,
    config: LatentSeekConfig,
    question: str,
    reference: str | None,
    attempt: Attempt,
    history: Sequence[Attempt] = (),
) -> tuple[Attempt, Usage]:
    """The attempt with its verdict, and what the verdict cost.

    Args:
        verifier: Called as ``verifier(question, solution, reference=...)``.
        config: The threshold, and what counts as accepted.
        question: What was to be solved.
        reference: The known answer, if there is one.
        attempt: What to judge.
        history: Attempts that a :class:`VerdictError` is to carry, besides this one.

    Raises:
        VerdictError: The verdict is outside its contract.
        GraphBubbleUp: The verifier interrupts the graph, for example to ask a person.
    """
    try:
        with judging_above(config.reward_threshold):
            verdict = ask(
                verifier, question, attempt.text, reference=reference, control_flow=(GraphBubbleUp,)
            )
    except VerdictError as error:
        error.attempts = [entry.to_dict() for entry in (*history, attempt)]
        raise
    return attempt.judged(verdict, passed=accepts(verdict, config)), verdict.usage
