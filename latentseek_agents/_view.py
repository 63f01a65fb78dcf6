"""What a person is shown of a search, in plain values: for the HTML page, and for the page of a server.

Texts are cut into pieces where something was checked, so that whoever shows them needs no offsets.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from latentseek_agents._shown import attempt_names, returned_position, voter_names, why_ended, why_returned
from latentseek_agents.tools.steps import StepReport, check_steps

__all__ = ["CheckSteps", "Decode", "Values", "marked_text", "returned_sentences", "search_view"]

Decode = Callable[[list[int]], str]
"""Token ids to text."""

Values = Mapping[str, Any]
"""A ``LatentSeekResult``, or one of its attempts, in plain values."""

CheckSteps = Callable[[str], StepReport]
"""Checks the steps of a text."""

_HOLDS = ("ok", "rounded", "converted", "running")
_SHOWN_STATUS = dict.fromkeys(_HOLDS, "holds") | {"wrong": "refuted", "unverifiable": "open"}
_PROGRAM_STATUS = _SHOWN_STATUS | {"trivial": "open"}


def search_view(result: Values, decode: Decode | None, *, check: CheckSteps = check_steps) -> dict[str, Any]:
    """A search as it is shown, whether or not it has ended.

    Args:
        result: As ``LatentSeekResult.to_dict()`` gives it, or the values of a refine graph's thread.
        decode: Token ids to text; None shows no tokens at the latents.
        check: Checks the steps of a text.

    Returns:
        Plain values: ``question``, ``answer``, ``passed``, ``score``, ``ended`` and ``why`` (sentences, or
        ""), ``stop_reason``, ``correction`` (a paragraph of ours, or ""), ``votes``, ``attempts``, ``tokens``
        and ``seconds``. The text of an attempt is a list of pieces, see :func:`marked_text`.

    Raises:
        KeyError: A field is missing; other exceptions if one is of another kind than in a search.

    Example:
        >>> view = search_view({"question": "What is 2 + 2?", "iterations": []}, None)
        >>> view["question"], view["attempts"], view["why"]
        ('What is 2 + 2?', [], '')
    """
    iterations = result["iterations"]
    names = attempt_names(iterations)
    attempts = [_attempt(one, name, decode, check) for one, name in zip(iterations, names, strict=True)]
    usage = result.get("usage") or {}
    view = {
        "question": result["question"],
        "answer": result.get("answer"),
        "passed": result.get("passed"),
        "score": result.get("score"),
        "stop_reason": result.get("stop_reason"),
        "ended": "",
        "why": "",
        "correction": "",
        "votes": [_vote(vote, names) for vote in result.get("votes") or ()],
        "attempts": attempts,
        "tokens": sum(usage.get(f"{who}_tokens", 0) for who in ("policy", "verifier")),
        "seconds": sum(usage.get(f"{who}_seconds", 0.0) for who in ("policy", "verifier")),
    }
    if attempts:
        place = returned_position(result)
        attempts[place]["returned"] = True
        view["correction"] = result["text"].removeprefix(iterations[place]["text"]).strip()
        view["why"] = returned_sentences(result, place, name=names[place])
        if view["stop_reason"] is not None:
            view["ended"] = f"The search ended because {why_ended(result)}."
    return view


def returned_sentences(result: Values, place: int, *, name: str) -> str:
    """Which attempt of a search is returned and for what reason, in two sentences.

    Args:
        result: The search.
        place: The position of that attempt in ``iterations``.
        name: What it is called.
    """
    why = why_returned(result, place)
    return f"Returned: {name}. {why[0].upper()}{why[1:]}."


def _attempt(attempt: Values, name: str, decode: Decode | None, check: CheckSteps) -> dict[str, Any]:
    report = check(attempt["text"])
    shown = ("iteration", "score", "passed", "reason", "answer", "finish_reason", "aimed_at", "thinking")
    return {
        **{field: attempt.get(field) for field in shown},
        "name": name,
        "returned": False,
        "pieces": marked_text(attempt["text"], report),
        "programs": [
            {
                "status": _PROGRAM_STATUS[program.status],
                "printed": program.printed,
                "reason": program.reason,
            }
            for program in report.programs
        ],
        "latents": [decode([token]) for token in attempt["latent_token_ids"]] if decode else [],
        "latent_count": len(attempt["latent_token_ids"]),
        "changed": attempt["changed"],
    }


def _vote(vote: Values, names: Sequence[str]) -> dict[str, Any]:
    return {"answer": vote["answer"], "weight": vote["weight"], "voters": voter_names(vote, names)}


def marked_text(text: str, report: StepReport) -> list[dict[str, Any]]:
    """A solution in pieces, each with what was found about it.

    Args:
        text: The solution.
        report: What :func:`~latentseek_agents.tools.steps.check_steps` says of it.

    Returns:
        Dicts of ``text``, ``status`` (``"holds"``, ``"refuted"``, ``"open"``: it could not be told, or "" for
        what was not checked), ``reason``, and ``code``: it belongs to a program. All texts together are the
        solution; where two findings overlap, a refuted one is shown, else the first.

    Example:
        >>> text = "So 2 + 2 = 4, and 4 * 3 = 13."
        >>> [(piece["text"], piece["status"]) for piece in marked_text(text, check_steps(text))]
        [('So ', ''), ('2 + 2 = 4', 'holds'), (', and ', ''), ('4 * 3 = 13', 'refuted'), ('.', '')]
    """
    taken = bytearray(len(text))
    marks: list[tuple[int, int, str, str]] = []
    claims = [claim for program in report.programs for claim in program.claims]
    for finding in (*report.refutations, *report.equations, *claims):
        start, end = finding.span
        status = _SHOWN_STATUS.get(finding.status)
        if status is not None and start < end and not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            marks.append((start, end, status, finding.reason))
    code = [program.span for program in report.programs]
    pieces, position = [], 0
    for start, end, status, reason in sorted(marks):
        pieces += [*_pieces(text, position, start, code), *_pieces(text, start, end, code, status, reason)]
        position = end
    return [*pieces, *_pieces(text, position, len(text), code)]


def _pieces(
    text: str, start: int, end: int, code: Sequence[tuple[int, int]], status: str = "", reason: str = ""
) -> Iterator[dict[str, Any]]:
    """A part of the text with one finding, cut where a program begins or ends."""
    cuts = sorted({start, end, *(cut for span in code for cut in span if start < cut < end)})
    for left, right in pairwise(cuts):
        inside = any(first <= left and right <= last for first, last in code)
        yield {"text": text[left:right], "status": status, "reason": reason, "code": inside}
