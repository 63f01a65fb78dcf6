"""A person as the verifier: the graph stops, and goes on with what the person says."""

import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from latentseek_agents.errors import VerdictError
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.verdict import Check, Verdict, reward_threshold

__all__ = ["HumanVerifier"]

_ALLOWED = (
    "True, False, a score in [-1, 0], a string (a rejection and its reason) or a dict with any of "
    '"passed", "score" and "reason"'
)
# Where LangGraph tells its nodes of it. Where a version does not, nothing is known.
_CHECKPOINTER = "__pregel_checkpointer"
# What people write who mean to accept, in lower case.
_ACCEPTANCE = re.compile(
    r"(?:(?:yes|i|we|it|it's|that|that's|this|the (?:answer|solution)|is|was|all|"
    r"very|looks?|sounds?|seems?)[ ,]+)*"
    r"(?:true|y|yes|yep|yeah|yup|ok|okay|k|pass(?:es|ed)?|right|correct|valid|good|great|fine|perfect|lgtm|"
    r"confirm(?:s|ed)?|"
    r"accept(?:s|ed|able)?|approv(?:e|es|ed|al)|agree[ds]?|proceed|continue|go ahead|ship it|1)"
    r"(?:[ ,]+(?:it|this|that|the (?:answer|solution)|to me|please|thanks))*"
)


class HumanVerifier:
    """Asks a person, through LangGraph's ``interrupt``.

    In a graph with a checkpointer the run stops, and its result holds under ``"__interrupt__"`` what to show
    the person: a dict with ``question``, ``solution``, ``answer`` (found in the solution, or None) and
    ``reference`` (or None). Go on with ``graph.invoke(Command(resume=verdict), config)``; the verdict is

    * ``True`` or ``False``: accepted or rejected, with score 0 or -1;
    * a number in [-1, 0]: the score; accepted if it is above the search's ``reward_threshold``;
    * a string: rejected, for this reason;
    * a dict with ``passed``, ``score`` and ``reason``, of which one of the first two may be left out. What
      is accepted needs a score above the threshold, the score of what is rejected is at most the threshold.
      ``{"passed": None}`` means that the person cannot judge either.

    ``Command(resume=None)`` is no verdict: LangGraph takes it for a run that is not resumed, and fails.

    LangGraph repeats the node that was interrupted, so verifiers asked before a person, in a
    :class:`~latentseek_agents.tools.combined.Combined`, are asked again when the run goes on: let them be
    cheap. After a resume value that is no verdict (a :class:`VerdictError`), resume again with another.

    Example:
        >>> from langgraph.checkpoint.memory import InMemorySaver
        >>> from langgraph.types import Command
        >>> from latentseek_agents.config import LatentSeekConfig
        >>> from latentseek_agents.graphs import create_refine_graph
        >>> from latentseek_agents.testing import tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8)
        >>> builder = create_refine_graph(tiny_backbone(), verifier=HumanVerifier(), config=config)
        >>> graph, thread = builder.compile(InMemorySaver()), {"configurable": {"thread_id": "1"}}
        >>> stopped = graph.invoke({"question": "What is 2 + 2?"}, thread)
        >>> sorted(stopped["__interrupt__"][0].value)
        ['answer', 'question', 'reference', 'solution']
        >>> graph.invoke(Command(resume=True), thread)["passed"]
        True
    """

    def __repr__(self) -> str:
        return "HumanVerifier()"

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Stop the graph until a person has judged ``solution``; then return their verdict."""
        payload = {
            "question": question,
            "solution": solution,
            "answer": extract_answer(solution),
            "reference": reference,
        }
        value = _answer_to(payload)
        while True:
            try:
                return _as_verdict(value)
            except VerdictError as error:
                # LangGraph keeps what a node was resumed with. Only by asking once more can a node that
                # refused one value be resumed with another; for now there is none.
                value = _answer_to(payload, instead=error)


def _answer_to(payload: dict[str, Any], *, instead: VerdictError | None = None) -> Any:
    """A person's answer; if there is none yet, stop the graph, or raise ``instead``."""
    from langgraph.errors import GraphInterrupt
    from langgraph.types import interrupt

    if _nothing_is_kept():
        raise VerdictError(
            "a HumanVerifier stops the graph, which cannot go on without a checkpointer: compile it with "
            "one, for example graph.compile(checkpointer=InMemorySaver())"
        )
    try:
        return interrupt(payload)
    except GraphInterrupt:
        if instead is not None:
            raise instead from None
        raise
    except (RuntimeError, KeyError) as error:
        # LangGraph says it in these ways if no graph runs.
        raise VerdictError(
            "a HumanVerifier can only ask inside a LangGraph graph: use it in create_refine_graph or "
            "LatentSeekNode, compiled with a checkpointer"
        ) from error


def _nothing_is_kept() -> bool:
    """Whether a graph runs that is known to have no checkpointer."""
    from langgraph.config import get_config

    try:
        return get_config().get("configurable", {}).get(_CHECKPOINTER, ...) is None
    except RuntimeError:  # no graph runs
        return False


def _as_verdict(answer: object) -> Verdict:
    match answer:
        case bool():
            return _checked_verdict({"passed": answer})
        case Real():
            return _checked_verdict({"score": answer})
        case str():
            return _checked_verdict({"passed": False, "reason": _rejection(answer)})
        case Mapping():
            return _checked_verdict(answer)
    raise VerdictError(f"a person's verdict must be {_ALLOWED}, but is {answer!r}")


def _rejection(text: str) -> str:
    reason = text.strip()
    if not reason or _ACCEPTANCE.fullmatch(reason.strip(".!👍✅✓ ").lower() or "ok"):
        raise VerdictError(
            f"a string rejects the solution and says why, but this one is {text!r}; "
            "to accept the solution, resume with True"
        )
    return reason


def _checked_verdict(answer: Mapping[Any, Any]) -> Verdict:
    unknown = sorted(str(key) for key in answer if key not in ("passed", "score", "reason"))
    if unknown:
        raise VerdictError(
            f"a person's verdict must be {_ALLOWED}, but has the keys {', '.join(unknown)} as well"
        )
    passed, score, reason = answer.get("passed"), answer.get("score"), answer.get("reason") or ""
    is_number = isinstance(score, Real) and not isinstance(score, bool)
    for name, value, fits, wanted in (
        ("passed", passed, passed is None or isinstance(passed, bool), "True, False or None"),
        ("score", score, score is None or is_number, "a number"),
        ("reason", reason, isinstance(reason, str), "a string"),
    ):
        if not fits:
            raise VerdictError(f"{name} must be {wanted} in a person's verdict, but is {value!r}")
    if score is not None and not -1 <= score <= 0:
        raise VerdictError(
            f"a person's score must lie in [-1, 0], where 0 is flawless, but is {score!r}; "
            "to accept or reject, resume with True or False"
        )
    threshold = reward_threshold()
    if "passed" not in answer:
        if score is None:
            raise VerdictError(f'a person\'s verdict needs "passed" or "score", but is {dict(answer)!r}')
        passed = bool(score > threshold)
    if score is None:
        score = 0.0 if passed else -1.0
    elif not passed:
        # Or a search that keeps its best attempt would prefer it to others that were rejected.
        score = min(score, threshold)
    elif score <= threshold and score < 0:
        raise VerdictError(
            f"a person accepted the solution with the score {score:g}, but what is accepted needs one "
            f"above {threshold:g}; leave out the score, or give a higher one"
        )
    outcome = {None: "cannot judge", True: "accepted", False: "rejected"}[passed]
    reason = reason or f"a person {outcome} it"
    return Verdict(score, passed, reason, [Check("human", passed, 1.0, reason)])
