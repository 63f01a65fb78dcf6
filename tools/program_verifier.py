"""The verifier that asks the model for a program, runs it, and compares answers."""

import time
from typing import Any

from latentseek_agents.engine._decoding import Completion, DecodeRequest, decode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.tools._printed_answer import is_rounded, printed_answer
from latentseek_agents.tools.answers import answers_agree, extract_answer
from latentseek_agents.tools.programs import run_program
from latentseek_agents.verdict import Check, Prepared, Usage, Verdict, reward_threshold

__all__ = ["ProgramVerifier"]

# By itself a difference is weak evidence: on GSM8K a third of such solutions of a 1.5B model were right.
_DIFFERENCE = -0.5

_SYSTEM = "You answer questions with short Python programs."
_TASK = """\
{question}

Write a short Python program that computes the answer to this question and prints only the answer, without \
unit or explanation. Use plain Python; of its modules, math alone. Reply with the program in one code block \
and nothing else."""
# The reply is begun for the model: what comes next is the program, and no reasoning before it.
_FENCE = "```"
_OPENING = f"{_FENCE}python\n"

_LONGEST_ANSWER = 200


class ProgramVerifier:
    r"""Ask the model once per question for a program, run it, and compare each solution's answer with it.

    The model writes the program without having seen any solution and without reasoning before it, greedily,
    in a few dozen tokens. It is a second opinion, reached in another way: where both agree, the answer is
    right more often than either alone.

    ======================= ===== =============================================================
    the program             score passed
    ======================= ===== =============================================================
    prints the same answer   0    the score is above the threshold: True unless that is 0
    prints another answer   -0.5  the same: False unless the threshold is below -0.5
    gives no answer         -1    None: cannot judge
    ======================= ===== =============================================================

    A difference is not a proof (nothing is refuted or blocked): alone it keeps an attempt from passing, so
    that a search goes on, and beside other verifiers it counts with its weight. With half the weight of a
    :class:`~latentseek_agents.tools.steps.StepVerifier`, as in
    ``Combined(ProgramVerifier(backbone), StepVerifier(), weights=[1, 2])``, a solution whose steps are
    flawless passes in spite of it, with -0.17, and one of which the steps score -0.05 or less does not. With
    equal weights neither passes.

    A decimal that a solution rounds to two or more places agrees with a program that prints more digits. A
    solution without an answer counts as a different one.

    **Time**: that of at most ``max_new_tokens`` tokens, once per question, and of the program: at most 1 s.
    Its text and output are text to the verifier: it runs in
    :func:`~latentseek_agents.tools.programs.run_program` alone. May be called from any thread.

    Args:
        backbone: The model that writes the program; as a rule the one that writes the solutions.
        max_new_tokens: Most tokens of a program; one that is not finished by then gives no answer.
        max_seconds: Time for writing it; None: as long as the tokens take.

    Raises:
        ConfigError: A setting is out of range.

    Example:
        >>> from latentseek_agents.testing import scripted_backbone
        >>> verifier = ProgramVerifier(scripted_backbone(["```python\nprint(3 * 24)\n```"]))
        >>> prepared = verifier.prepare("How much is 3 * 24?")
        >>> prepared.value["answer"]
        '72'
        >>> verdict = verifier("How much is 3 * 24?", "The answer is 71.", prepared=prepared.value)
        >>> verdict.score, verdict.passed, verdict.reason
        (-0.5, False, 'the program for the question prints 72, but the answer is 71')
    """

    def __init__(
        self, backbone: Backbone, *, max_new_tokens: int = 256, max_seconds: float | None = None
    ) -> None:
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={max_new_tokens}: it must be at least 1")
        if max_seconds is not None and not max_seconds > 0:
            raise ConfigError(f"max_seconds={max_seconds}: it must be above 0, or None")
        self.backbone = backbone
        self.max_new_tokens = max_new_tokens
        self.max_seconds = max_seconds
        tokenizer = backbone.tokenizer
        self._opening_ids = list(tokenizer(_OPENING, add_special_tokens=False)["input_ids"])
        fences = {number for token, number in tokenizer.get_vocab().items() if _FENCE in token}
        self._end_token_ids = backbone.eos_token_ids | fences

    def __repr__(self) -> str:
        return f"ProgramVerifier({self.backbone.name!r})"

    def prepare(self, question: str) -> Prepared:
        """Write the program for a question and run it.

        Returns:
            ``{"program": code or None, "answer": what it prints or None, "reason": why there is none}``.
        """
        completion, reason = self._written(question)
        if completion is None:
            return Prepared(_value(None, None, reason))
        code, reason = self._program(completion)
        answer = None
        if not reason:
            answer, reason = _output(code)
        return Prepared(_value(code, answer, reason), completion.usage("verifier"))

    def prepared_answer(self, value: Any) -> str | None:
        """What the program prints; None if that is nothing which could be an answer."""
        answer = None if value is None else value["answer"]
        return answer if isinstance(answer, str) else None

    def __call__(
        self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
    ) -> Verdict:
        """Judge ``solution``; ``reference`` is not looked at.

        Args:
            question: What was to be solved.
            solution: What to judge.
            reference: Not used.
            prepared: The value of :meth:`prepare` for this question; without it the model is asked now.
        """
        usage = Usage()
        if prepared is None:
            now = self.prepare(question)
            prepared, usage = now.value, now.usage
        agrees, reason = _comparison(prepared, extract_answer(solution))
        score = -1.0 if agrees is None else 0.0 if agrees else _DIFFERENCE
        passed = None if agrees is None else score > reward_threshold()
        shown = reason if prepared["program"] is None else f"{reason}:\n{prepared['program']}"
        return Verdict(score, passed, reason, [Check("program", passed, 1.0, shown)], usage)

    def _written(self, question: str) -> tuple[Completion | None, str]:
        """What the model writes; or why it cannot be asked."""
        messages = [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": _TASK.format(question=question.strip())},
        ]
        try:
            prompt_ids = self.backbone.encode_prompt(messages, answer_at_once=True)
        except InputError:
            return None, "the question is too long for the context window"
        room = self.backbone.context_window - len(prompt_ids) - len(self._opening_ids)
        if room < 1:
            return None, "the question leaves no room for a program in the context window"
        request = DecodeRequest(
            prompt_ids=prompt_ids,
            forced_ids=self._opening_ids,
            max_new_tokens=min(self.max_new_tokens, room),
            end_token_ids=self._end_token_ids,
            deadline=_deadline(self.max_seconds),
            states=0,
        )
        (completion,) = decode(self.backbone, [request])
        return completion, ""

    def _program(self, completion: Completion) -> tuple[str, str]:
        """The program in a completion; and why it cannot be run, "" if it can."""
        reply = self.backbone.decode(completion.token_ids[len(self._opening_ids) :])
        code, closing, _ = reply.partition(_FENCE)
        code = code.strip("\n").rstrip()
        if not code:
            return code, "the model wrote no program"
        if not closing and completion.finish_reason != "stop":
            limit = "in time" if completion.finish_reason == "seconds" else "within its tokens"
            return code, f"the program was not finished {limit}"
        return code, ""


def _deadline(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _value(program: str | None, answer: str | None, reason: str) -> dict[str, str | None]:
    return {"program": program, "answer": answer, "reason": reason}


def _output(code: str) -> tuple[str | None, str]:
    """The answer that a program prints; or why there is none."""
    run = run_program(code)
    if run.error is not None:
        return None, f"the program fails: {run.error}"
    if run.unjudged is not None:
        return None, f"the program could not be run: {run.unjudged}"
    value = "" if run.value is None else str(run.value)
    lines = [line.strip() for line in (run.printed or value).splitlines() if line.strip()]
    if not lines:
        return None, "the program prints nothing"
    if len(lines[-1]) > _LONGEST_ANSWER:
        return None, f"the program prints a line of more than {_LONGEST_ANSWER} characters"
    answer = printed_answer(lines[-1])
    return answer, "" if answer else "the program prints no answer"


def _comparison(prepared: Any, answer: str | None) -> tuple[bool | None, str]:
    """Whether a solution's answer is the program's, None if that is not known; and why."""
    computed = prepared["answer"]
    if computed is None:
        return None, f"cannot judge: {prepared['reason']}"
    prints = f"the program for the question prints {computed}"
    if answer is None:
        return False, f"{prints}, but no final answer is found in the solution"
    agrees = answers_agree(answer, computed)
    if agrees or is_rounded(answer, computed):
        return True, f"{prints}, and the answer is {answer}"
    if agrees is None:
        return None, f"cannot judge: {prints}, and comparing it with {answer} could not be finished"
    return False, f"{prints}, but the answer is {answer}"
