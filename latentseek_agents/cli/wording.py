"""The words for what a search did: attempts, verdicts, programs, votes, costs, and why it ended."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.text import Text

from latentseek_agents.evaluation.text import one_line, plain

if TYPE_CHECKING:
    from latentseek_agents.result import LatentSeekResult
    from latentseek_agents.tools.steps import StepReport

Marks = tuple[str, str]
"""What stands before and behind a place that is set off where there are no colours."""

_SHOWN_LATENTS = 40
_BEFORE_AN_ERROR = 120
_SHOWN_CODE = 100
_MOST_REPEATS = 3
_NAMES = {
    "StepVerifier": "steps",
    "ProgramVerifier": "program",
    "SelfReward": "self",
    "GroundTruth": "truth",
}
_CLASSES = re.compile(rf"\b({'|'.join(_NAMES)}):")
_WRONG = "bold red underline"


def verdict_text(passed: bool | None) -> Text:
    """A verdict in a word or two: docs/concepts.md says what each means."""
    if passed is None:
        return Text("not judged", style="yellow")
    return Text("passed", style="bold green") if passed else Text("not passed", style="bold red")


def shown_answer(answer: str | None) -> str:
    """An answer, short enough for one line."""
    return "none" if answer is None else one_line(answer, 60)


def solution_text(text: str, report: "StepReport | None", longest: int, marks: Marks = ("", "")) -> Text:
    """A solution on one line, with the places that are refuted set off.

    Args:
        text: The solution.
        report: What the step checker says of it.
        longest: Most characters; where the first refuted place lies beyond, it begins shortly before that.
        marks: What to put around a refuted place.

    Example:
        >>> from latentseek_agents.tools.steps import check_steps
        >>> wrong = "First 2 + 2 = 5. The answer is 5."
        >>> solution_text(wrong, check_steps(wrong), 80, ("[", "]")).plain
        'First [2 + 2 = 5]. The answer is 5.'
    """
    shown = Text(style="italic")
    spans = [] if report is None else [wrong.span for wrong in report.refutations]
    begin = max(0, spans[0][0] - _BEFORE_AN_ERROR) if spans and spans[0][1] > longest else 0
    shown.append("… " if begin else "")
    end = begin
    for start, stop in spans:
        if start >= end:
            shown.append(_on_one_line(text[end:start]))
            shown.append(f"{marks[0]}{_on_one_line(text[start:stop])}{marks[1]}", style=_WRONG)
            end = stop
    shown.append(_on_one_line(text[end:]))
    shown.truncate(longest, overflow="ellipsis")
    return shown if shown.plain.strip() else Text("(empty)", style="italic")


def without_repeats(text: str) -> str:
    r"""A text in which a line that stands there many times in a row is shown once, with their number.

    Example:
        >>> without_repeats("So it is 5.\n\n" + "The answer is 5.\n\n" * 9)
        'So it is 5.\n\nThe answer is 5.\n[the same line 8 more times]'
    """
    lines = text.rstrip().split("\n")
    shown: list[str] = []
    place = 0
    while place < len(lines):
        end, count = place + 1, 1
        while lines[place].strip():
            following = next((i for i in range(end, len(lines)) if lines[i].strip()), None)
            if following is None or lines[following] != lines[place]:
                break
            end, count = following + 1, count + 1
        if count > _MOST_REPEATS:
            shown += [lines[place], f"[the same line {count - 1} more times]"]
        else:
            shown += lines[place:end]
        place = end
    return "\n".join(shown)


def reason_text(reason: str) -> str:
    """A verdict's reason on one line, with verifiers called as on the command line.

    Example:
        >>> reason_text("StepVerifier: uses 1 of the question's 2 numbers")
        "steps: uses 1 of the question's 2 numbers"
    """
    return _CLASSES.sub(lambda found: f"{_NAMES[found[1]]}:", one_line(reason, 300))


def _on_one_line(piece: str) -> str:
    return re.sub(r"\s+", " ", plain(piece))


def latents_text(latents: Sequence[str], changed: Sequence[int], marks: Marks = ("", "")) -> Text:
    """The beginning of a solution, with the tokens that the refinement changed set off.

    Args:
        latents: The texts of the tokens at the latents.
        changed: Positions of those that differ from the attempt before.
        marks: What to put before and after a changed token.

    Example:
        >>> latents_text(["To", " find", " the"], [1], ("[", "]")).plain
        '1 of 3 latent tokens changed: To[ find] the'
    """
    text = Text()
    if not changed:
        return text.append(
            f"no token of the {len(latents)} latents changed: the same text again", style="dim"
        )
    moved = {position for position in changed if position < len(latents)}
    gone = len(changed) - len(moved)  # an attempt that ends early has fewer latents than the one before
    shorter = f", {gone} are gone" if gone else ""
    text.append(f"{len(moved)} of {len(latents)} latent tokens changed{shorter}: ", style="dim")
    # Start near the first change, or it may lie beyond what is shown.
    start = max(0, min(moved) - 8) if min(moved, default=0) >= _SHOWN_LATENTS else 0
    text.append("… " if start else "")
    shown = range(start, min(len(latents), start + _SHOWN_LATENTS))
    for is_changed, run in groupby(shown, key=moved.__contains__):
        tokens = plain("".join(latents[position] for position in run)).replace("\n", "⏎")
        if is_changed:
            text.append(f"{marks[0]}{tokens}{marks[1]}", style="bold underline yellow")
        else:
            text.append(tokens)
    text.append(" …" if len(latents) > start + _SHOWN_LATENTS else "")
    return text


def aim_text(aimed_at: dict[str, Any]) -> Text:
    """Where an attempt was aimed: what stood there before, and what was computed.

    Example:
        >>> aim_text({"stated": "35", "value": "36", "reached": True, "steps": 4}).plain
        'corrected at the first error: 35 became 36 (4 steps of its latents); what stands before it stays'
    """
    steps = aimed_at["steps"]
    how = f"{steps} step{'s' * (steps != 1)} of its latents" if aimed_at["reached"] else "forced"
    return Text.assemble(
        ("corrected at the first error: ", "dim"),
        one_line(aimed_at["stated"], 60),
        (" became ", "dim"),
        (one_line(aimed_at["value"], 60), "bold yellow"),
        (f" ({how}); what stands before it stays", "dim"),
    )


def programs_in(prepared: Any) -> Iterator[Mapping[str, Any]]:
    """The programs for the question among what verifiers prepared, each as ``ProgramVerifier`` makes it."""
    if isinstance(prepared, Mapping) and prepared.keys() >= {"program", "answer", "reason"}:
        yield prepared
    elif isinstance(prepared, list):
        for part in prepared:
            yield from programs_in(part)


def program_text(value: Mapping[str, Any]) -> Text:
    r"""What a program prints that the model wrote for the question, and how it begins.

    Example:
        >>> program_text({"program": "cups = 5 + 4\nprint(cups)", "answer": "9", "reason": ""}).plain
        'prints 9:  cups = 5 + 4 ⏎ print(cups)'
        >>> program_text({"program": "print(", "answer": None, "reason": "the program fails: ..."}).plain
        'gives no answer: the program fails: ...'
    """
    if value["answer"] is None:
        why = one_line(value["reason"] or "nobody knows why", 120)
        return Text.assemble("gives no answer: ", (why, "yellow"))
    lines = [line.strip() for line in plain(value["program"] or "").splitlines() if line.strip()]
    code = Text(" ⏎ ".join(lines), style="italic")
    code.truncate(_SHOWN_CODE, overflow="ellipsis")
    return Text.assemble("prints ", (shown_answer(value["answer"]), "bold"), ":  ", code)


def standing_text(votes: Sequence[Mapping[str, Any]]) -> Text:
    """How the vote stands: the weight of each answer.

    Example:
        >>> standing_text([{"answer": "9", "weight": 1.5}, {"answer": "8", "weight": 0.05}]).plain
        '9 has 1.50, 8 has 0.05'
    """
    parts: list[Any] = []
    for vote in votes:
        parts += [", " if parts else "", (shown_answer(vote["answer"]), "bold"), f" has {vote['weight']:.2f}"]
    return Text.assemble(*parts)


def votes_text(result: "LatentSeekResult") -> list[Text]:
    """A line for each answer that has votes: its weight, and who voted for it with what weight."""
    from latentseek_agents._shown import attempt_names, voter_names

    names = attempt_names(result.iterations)
    return [
        Text.assemble(
            (shown_answer(vote["answer"]), "bold"),
            f" has {vote['weight']:.2f}  ",
            (f"({', '.join(voter_names(vote, names))})", "dim"),
        )
        for vote in result.votes
    ]


def returned_text(result: "LatentSeekResult") -> str:
    """Which attempt is returned and why, and why the search ended."""
    from latentseek_agents._shown import attempt_names, returned_position, why_ended, why_returned

    values = result.to_dict()
    place = returned_position(values)
    why, ended = why_returned(values, place), why_ended(values)
    which = attempt_names(result.iterations)[place]
    return f"{which}, since {why}" + ("" if why == ended else f"; the search ended, since {ended}")


def costs(result: "LatentSeekResult") -> str:
    """Tokens, forward passes and seconds, the policy's and the verifier's apart."""
    usage = result.usage
    return (
        f"policy {usage.policy_tokens} tokens, {usage.policy_forward_passes} forward passes, "
        f"{usage.policy_seconds:.1f} s; verifier {usage.verifier_tokens} tokens, "
        f"{usage.verifier_forward_passes} forward passes, {usage.verifier_seconds:.1f} s"
    )
