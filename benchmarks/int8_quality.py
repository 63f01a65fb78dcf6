"""What int8 weights change in what a model writes, in its probabilities, and in the search's gradient.

    python benchmarks/int8_quality.py --model FOLDER --gguf FILE --data gsm8k_dev.jsonl --out FOLDER

Data are lines of ``{"question": ..., "answer": ...}``. Every question is answered greedily in float32 and in
int8; the answers go to ``FOLDER/answers.jsonl`` one by one, and a further call goes on where the last one
ended. ``--seconds`` ends a call early. On the first ``--solutions`` float32 solutions, both are then given
the same tokens: KL(float32 || int8) of each next token's distribution, in nats, and the cosine between the
gradients of the latents. ``--head float`` gives the int8 layers the float32 head, to see what the int8 head
costs; a ``FOLDER`` holds the answers of one model and both heads.
"""

import argparse
import copy
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodingOptions
from latentseek_agents.engine.latents import Latents, policy_gradient
from latentseek_agents.engine.search import draft, prompt_token_ids
from latentseek_agents.evaluation.reports.statistics import mcnemar
from latentseek_agents.tools import GroundTruth

console = Console()
PRECISE = "float32"
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Answer:
    """One greedy solution.

    Args:
        weights: ``"float32"``, ``"int8"``, or ``"int8, float head"``.
        number: The question's line in the data, from 0.
        token_ids: What was written.
        text: The same as text.
        right: Whether its answer is the known one; None if that could not be judged.
        finish_reason: ``"stop"`` or ``"length"``.
    """

    weights: str
    number: int
    token_ids: list[int]
    text: str
    right: bool | None
    finish_reason: str


@dataclass(frozen=True)
class Difference:
    """How far two backbones are apart on one solution that both are given.

    Args:
        divergences: KL(float32 || other) in nats of the distribution that each token was chosen from.
        same_choices: Share of tokens that both find most probable.
        gradient_cosine: Between the gradients at the same latents: only the heads differ.
        own_gradient_cosine: Between the gradients where each has the latents of its own layers.
        step_cosine: Between the moves of Adam's first step along those.
    """

    divergences: list[float]
    same_choices: float
    gradient_cosine: float
    own_gradient_cosine: float
    step_cosine: float


# -- answers


def write_answers(
    backbone: Backbone, weights: str, questions: Sequence[dict[str, str]], arguments: argparse.Namespace
) -> bool:
    """Answer the questions that have no answer in the file yet, several at once.

    Returns:
        Whether all are answered now.
    """
    file = arguments.out / "answers.jsonl"
    config = LatentSeekConfig(max_new_tokens=arguments.max_new_tokens)
    known = read_answers(file)
    _write_lines(file, known)  # without a last line that is not whole, which the next would be joined to
    done = {answer.number for answer in known if answer.weights == weights} & set(range(len(questions)))
    waiting = [number for number in range(len(questions)) if number not in done]
    lock = threading.Lock()

    def answer(number: int) -> None:
        if time.monotonic() > arguments.deadline:
            return
        row = questions[number]
        (attempt,) = draft(backbone, row["question"], config).attempts
        verdict = GroundTruth()(row["question"], attempt.text, reference=row["answer"])
        made = Answer(weights, number, attempt.token_ids, attempt.text, verdict.passed, attempt.finish_reason)
        with lock, file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(made)) + "\n")
            done.add(number)

    with ThreadPoolExecutor(arguments.rows) as pool:
        list(pool.map(answer, waiting))
    return len(done) == len(questions)


def read_answers(file: Path) -> list[Answer]:
    """All answers in a file; a last line that is not whole is left out."""
    if not file.exists():
        return []
    # A text may hold other line separators than this one.
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
    return [Answer(**json.loads(line)) for line in whole.split("\n") if line]


def _write_lines(file: Path, rows: Sequence[Any]) -> None:
    file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")


def answers_table(answers: Iterable[Answer]) -> Table:
    """Right answers of each number format, paired with those of float32 on the same questions."""
    by_weights: dict[str, dict[int, Answer]] = {}
    for answer in answers:
        by_weights.setdefault(answer.weights, {})[answer.number] = answer
    precise = by_weights.get(PRECISE, {})
    table = Table(
        "weights", "questions", "right", "float32 alone right", "this alone right", "McNemar p", "same tokens"
    )
    for weights, found in by_weights.items():
        both = sorted(found.keys() & precise.keys())
        pairs = [(bool(precise[number].right), bool(found[number].right)) for number in both]
        lost, won = pairs.count((True, False)), pairs.count((False, True))
        same = sum(found[number].token_ids == precise[number].token_ids for number in both)
        table.add_row(
            weights,
            str(len(both)),
            str(sum(right for _, right in pairs)),
            str(lost),
            str(won),
            f"{mcnemar(lost, won):.2f}",
            str(same),
        )
    return table


# -- distributions and gradients


def compare(
    precise: Backbone, other: Backbone, prompt_ids: list[int], token_ids: list[int], config: LatentSeekConfig
) -> Difference:
    """Give both the same prompt and solution, and compare what they make of each token.

    Args:
        precise: With float32 weights.
        other: The same model with other weights.
        prompt_ids: The question.
        token_ids: The solution, at least one token.
        config: How many latents, and how far they move.
    """
    states = [given_tokens(backbone, prompt_ids, token_ids) for backbone in (precise, other)]
    divergences, same = _divergences((precise, other), states)
    count = max(1, min(int(config.fraction * len(token_ids)), config.max_latents))
    tokens = token_ids[:count]
    reference = _gradient(precise, states[0][:count], tokens)
    at_same = _gradient(other, states[0][:count], tokens)
    at_own = _gradient(other, states[1][:count], tokens)
    moves = [
        _first_move(hidden[:count], gradient, config)
        for hidden, gradient in zip(states, (reference, at_own), strict=True)
    ]
    return Difference(
        divergences, same, cosine(reference, at_same), cosine(reference, at_own), cosine(*moves)
    )


def given_tokens(backbone: Backbone, prompt_ids: list[int], token_ids: list[int]) -> torch.Tensor:
    """(n, d) float32: the hidden state that predicts each token of a solution that is given.

    It is computed as a search would decode it: by the decoder's own layers, in one pass.
    """
    from latentseek_agents.engine._decoding.kv_cache import KeyValueStore
    from latentseek_agents.engine._decoding.packed_forward import RowSlice

    packed = getattr(backbone.decoder, "packed", None)
    if packed is None:
        raise SystemExit(f"{backbone.name} is not decoded in batches; this comparison is about those layers")
    ids = [*prompt_ids, *token_ids[:-1]]
    store = KeyValueStore()
    store.reserve(1, len(ids))
    with backbone.policy.lock:
        hidden: torch.Tensor = packed.forward(store, [RowSlice(0, 0, ids)])
    return hidden[len(prompt_ids) - 1 :].float()


def _divergences(
    backbones: tuple[Backbone, Backbone], states: Sequence[torch.Tensor]
) -> tuple[list[float], float]:
    divergences: list[float] = []
    same = 0
    # Float64 logits of a whole solution would take a gigabyte.
    for parts in zip(*(torch.split(hidden, _ROWS_AT_ONCE) for hidden in states), strict=True):
        with torch.no_grad():
            logs = [
                torch.log_softmax(backbone.logits(hidden).double(), dim=-1)
                for backbone, hidden in zip(backbones, parts, strict=True)
            ]
        divergences += (logs[0].exp() * (logs[0] - logs[1])).sum(dim=-1).tolist()
        same += int((logs[0].argmax(dim=-1) == logs[1].argmax(dim=-1)).sum())
    return divergences, same / len(divergences)


def _gradient(backbone: Backbone, latents: torch.Tensor, token_ids: list[int]) -> torch.Tensor:
    return policy_gradient(backbone.logits, latents[None], [token_ids], [-1.0])


def _first_move(hidden: torch.Tensor, gradient: torch.Tensor, config: LatentSeekConfig) -> torch.Tensor:
    start = Latents.start(hidden, "independent")
    return start.stepped(gradient, learning_rate=config.learning_rate).values - start.values


def cosine(one: torch.Tensor, two: torch.Tensor) -> float:
    """Of the angle between two tensors as vectors, summed in float64."""
    return float(torch.nn.functional.cosine_similarity(one.double().flatten(), two.double().flatten(), dim=0))


def differences_table(differences: Sequence[Difference]) -> Table:
    """Means over all tokens, and the worst solution."""
    table = Table("", "mean", "worst solution")
    means = [statistics.fmean(one.divergences) for one in differences]
    every = [value for one in differences for value in one.divergences]
    table.add_row(
        "KL(float32 || int8), nats per token", f"{statistics.fmean(every):.4f}", f"{max(means):.4f}"
    )
    for label, name in (
        ("same most probable token", "same_choices"),
        ("cosine of gradients, same latents", "gradient_cosine"),
        ("cosine of gradients, each with its own latents", "own_gradient_cosine"),
        ("cosine of Adam's first steps, own latents", "step_cosine"),
    ):
        values = [getattr(one, name) for one in differences]
        table.add_row(label, f"{statistics.fmean(values):.4f}", f"{min(values):.4f}")
    table.caption = (
        f"{len(differences)} solutions, {len(every)} tokens; the largest KL of one is {max(every):.3f}"
    )
    return table


# -- what is compared


def main() -> int:
    """Answer, compare, and print both tables."""
    arguments = _arguments()
    arguments.deadline = time.monotonic() + arguments.seconds
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    questions = _questions(arguments)
    precise, other = _load(arguments)
    weights = "int8" if arguments.head == "int8" else "int8, float head"
    complete = [
        write_answers(backbone, name, questions, arguments)
        for backbone, name in ((precise, PRECISE), (other, weights))
    ]
    answers = read_answers(arguments.out / "answers.jsonl")
    console.print(answers_table(answers))
    if not all(complete):
        console.print("not all questions are answered yet; call it again")
        return 1
    solutions = {one.number: one for one in answers if one.weights == PRECISE}
    config = LatentSeekConfig(max_new_tokens=arguments.max_new_tokens)
    differences = [
        compare(
            precise,
            other,
            prompt_token_ids(precise, questions[number]["question"], config),
            solutions[number].token_ids,
            config,
        )
        for number in range(min(arguments.solutions, len(questions)))
    ]
    if differences:
        console.print(weights, differences_table(differences))
        _write_lines(arguments.out / f"differences-{arguments.head}-head.jsonl", differences)
    return 0


def _load(arguments: argparse.Namespace) -> tuple[Backbone, Backbone]:
    options = DecodingOptions(max_rows=arguments.rows)
    if arguments.model is None:
        precise = Backbone.embedded(dtype="float32", decoding=options)
    else:
        precise = Backbone.from_pretrained(
            arguments.model, gguf_file=arguments.gguf, dtype="float32", device="cpu", decoding=options
        )
    return precise, int8_of(precise, float_head=arguments.head == "float")


def int8_of(precise: Backbone, *, float_head: bool) -> Backbone:
    """The same model with int8 layers, and the head that is asked for."""
    quantised = Backbone.from_model(precise.model, precise.tokenizer, dtype="int8", decoding=precise.decoding)
    if not float_head:
        return quantised
    model: Any = copy.copy(quantised.model)
    model._modules = dict(model._modules)
    model.set_output_embeddings(precise.model.get_output_embeddings())
    return Backbone.from_model(model, precise.tokenizer, decoding=precise.decoding)


def _questions(arguments: argparse.Namespace) -> list[dict[str, str]]:
    lines = arguments.data.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()][: arguments.questions]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="folder or name; without it, the embedded model")
    parser.add_argument("--gguf")
    parser.add_argument("--data", type=Path, required=True, help="questions and answers, JSON Lines")
    parser.add_argument("--out", type=Path, required=True, help="folder for answers and differences")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--solutions", type=int, default=10, help="on how many to compare distributions")
    parser.add_argument("--head", choices=["int8", "float"], default="int8")
    parser.add_argument("--max-new-tokens", type=int, default=320)
    parser.add_argument("--rows", type=int, default=32, help="questions that are answered at once")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no answer is begun after these")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
