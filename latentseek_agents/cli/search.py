"""Run searches and report each step to watchers: what a person sees, a trace file, an HTML page."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from latentseek_agents.cli.process import fast_imports
from latentseek_agents.cli.questions import Question
from latentseek_agents.errors import LatentSeekError

if TYPE_CHECKING:
    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.engine.backbone import Backbone
    from latentseek_agents.result import LatentSeekResult
    from latentseek_agents.verdict import Verdict, VerifierLike


class Watcher(AbstractContextManager["Watcher"]):
    """Follows the searches of one command; the methods here do nothing. Use it as a context."""

    def __exit__(self, *_: object) -> None:
        """End what was begun, also after an error."""

    def on_question(self, index: int, question: Question) -> None:
        """A search begins."""

    def on_token(self, token: int) -> None:
        """The policy has written a token."""

    def on_prepare(self) -> None:
        """The verifier begins to prepare itself for the question."""

    def on_prepared(self, value: Any) -> None:
        """The verifier has prepared itself; ``value`` is what it keeps for its verdicts."""

    def on_verify(self) -> None:
        """The verifier begins to judge."""

    def on_iteration(self, event: dict[str, Any]) -> None:
        """An iteration has ended; ``create_refine_graph`` describes its event."""

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        """A search has ended."""

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        """A search has failed."""


def make_search(
    backbone: "Backbone", verifier: "VerifierLike", config: "LatentSeekConfig", watchers: Sequence[Watcher]
) -> "Callable[[Question], LatentSeekResult]":
    """A search that reports its tokens and iterations to watchers."""
    with fast_imports():
        from latentseek_agents.loop import Search, draft, run
        from latentseek_agents.result import LatentSeekResult
        from latentseek_agents.verdict import Prepared, VerifierWrapper, ask

    def on_token(token: int) -> None:
        for watcher in watchers:
            watcher.on_token(token)

    def on_event(event: dict[str, Any]) -> None:
        for watcher in watchers:
            watcher.on_iteration(event)

    class Announced(VerifierWrapper):
        """The verifier, with a word to the watchers before each thing that it does."""

        def prepare(self, question: str) -> Any:
            if not hasattr(self.verifier, "prepare"):
                return None
            for watcher in watchers:
                watcher.on_prepare()
            value = super().prepare(question)
            for watcher in watchers:
                watcher.on_prepared(value.value if isinstance(value, Prepared) else value)
            return value

        def __call__(
            self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
        ) -> "Verdict":
            for watcher in watchers:
                watcher.on_verify()
            return ask(self.verifier, question, solution, reference=reference, prepared=prepared)

    plan = Search(backbone, Announced(verifier), config, on_token=on_token)

    def search(question: Question) -> "LatentSeekResult":
        *_, state = run(plan, draft(plan, question.text, question.reference), on_event=on_event)
        return LatentSeekResult.from_state(state, backbone=backbone)

    return search


def search_all(
    questions: Sequence[Question],
    search: "Callable[[Question], LatentSeekResult]",
    watchers: Sequence[Watcher],
) -> tuple[int, int]:
    """Search for the answer to each question; one that fails does not keep the others from an answer.

    Args:
        questions: What to solve.
        search: From :func:`make_search`.
        watchers: Those that take questions and results.

    Returns:
        How many answers were verified, and how many searches failed.
    """
    verified = failed = 0
    for index, question in enumerate(questions):
        for watcher in watchers:
            watcher.on_question(index, question)
        try:
            result = search(question)
        except LatentSeekError as error:
            failed += 1
            for watcher in watchers:
                watcher.on_error(index, question, error)
        else:
            verified += result.passed is True
            for watcher in watchers:
                watcher.on_result(index, question, result)
    return verified, failed
