"""What a search knows and finds: plain values in a state, and the object that a caller gets."""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Self

from typing_extensions import TypedDict

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.verdict import Attempt, StopReason, Usage

__all__ = ["JudgedState", "LatentSeekResult", "Outcome", "SearchState"]


class Outcome(TypedDict, total=False):
    """A result in plain values, as a LangGraph state holds it; see :class:`LatentSeekResult` for each."""

    question: str
    answer: str | None
    text: str
    score: float | None
    passed: bool | None
    reason: str
    stop_reason: StopReason | None
    iterations: list[dict[str, Any]]
    """Every attempt, the draft first: see :class:`~latentseek_agents.verdict.Attempt`."""
    usage: dict[str, Any]
    """See :class:`~latentseek_agents.verdict.Usage`."""
    votes: list[dict[str, Any]]


class JudgedState(Outcome, total=False):
    """The state without latents: what ``judge`` reads and writes."""

    reference: str | None
    """The known answer, for verifiers that compare with it."""
    model: str
    """Which model in which dtype the search was begun with: ``Backbone.fingerprint``."""
    prepared: Any
    """What the verifier found out about the question before it judged, in plain values; None for nothing."""
    samples: list[dict[str, Any]]
    """The attempts of the iteration in progress."""
    chosen: int
    """Index in ``iterations`` of the attempt to return, or to correct, were the search to end here."""


class SearchState(JudgedState, total=False):
    """All that a search knows. A step returns the part that it changes."""

    latents: bytes
    """Latents and Adam's memory; empty once the search has ended."""


@dataclass(frozen=True)
class LatentSeekResult:
    """What a search found.

    Args:
        question: The question.
        answer: The final answer found in ``text``; None if it states none.
        text: The whole solution that is returned. Where a computed value won the vote that no solution
            states, a paragraph at its end, marked as ours, states it.
        score: Its score in [-1, 0]; None for a text that ends with such a paragraph.
        passed: Whether it was accepted; None if it could not be judged, or ends with such a paragraph.
        reason: The verdict in words.
        stop_reason: ``"passed"``, ``"agreement"``, ``"iterations"``, ``"seconds"``, ``"tokens"`` or
            ``"unjudged"``; None in a snapshot from ``stream`` while the search goes on.
        iterations: Every attempt; the first is the draft.
        usage: Costs, the policy's and the verifier's apart.
        votes: With ``keep="vote"`` who voted for what, the heaviest answer first: dicts of ``answer``,
            ``weight`` (in full votes), ``voters`` (positions in ``iterations``, and ``"program"`` for the
            answer that the verifier computed for the question) and ``weights`` (one for each voter).
    """

    question: str
    answer: str | None
    text: str
    score: float | None
    passed: bool | None
    reason: str
    stop_reason: StopReason | None
    iterations: list[Attempt]
    usage: Usage
    votes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_state(cls, state: Mapping[str, Any], *, backbone: Backbone | None = None) -> Self:
        """From a judged state, whether or not the search has ended, or from the refine graph's output.

        Args:
            state: With the keys of :class:`Outcome`; others are ignored.
            backbone: The model that wrote it, so that a notebook can show the tokens. The result holds a weak
                reference, and copies and pickles of it none.
        """
        values = {name: state[name] for name in cls.__dataclass_fields__ if name != "votes"}
        result = cls(
            **values
            | {
                "iterations": [Attempt.from_dict(entry) for entry in state["iterations"]],
                "usage": Usage.from_dict(state["usage"]),
                "votes": list(state.get("votes", [])),  # states of other graphs have none
            }
        )
        if backbone is not None:
            object.__setattr__(result, "_backbone", weakref.ref(backbone))
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON or a LangGraph state."""
        return asdict(self)

    def to_html(self, decode: Callable[[list[int]], str] | None = None) -> str:
        """The search as one self-contained HTML page; see :func:`~latentseek_agents._html.html_page`.

        Args:
            decode: Token ids to text, such as ``backbone.decode``. By default that of the backbone that
                searched, if it still exists; otherwise the tokens at the latents are not shown.
        """
        from latentseek_agents._html import html_page

        return html_page([self.to_dict()], decode or self._decode())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from latentseek_agents._html import html_fragment

        return html_fragment([self.to_dict()], self._decode())

    def _decode(self) -> Callable[[list[int]], str] | None:
        backbone = self.__dict__.get("_backbone", lambda: None)()
        return None if backbone is None else partial(backbone.decode, skip_special_tokens=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_backbone"}

    def __add__(self, later: "LatentSeekResult") -> "LatentSeekResult":
        """The later snapshot: LangChain adds up what a stream yields."""
        return later
