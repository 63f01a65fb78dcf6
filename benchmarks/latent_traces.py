"""What happens to the tokens at the latents: which flip, when, and what becomes of the text.

    python benchmarks/latent_traces.py --model FOLDER --gguf FILE --data gsm8k_dev.jsonl --start 150 --limit 8

Every attempt is refused (reward -1), so that the search goes on to the end. For each kind of latents the
first table sorts the draft's tokens at the latents by how sure the model was of them (the gap between the
two largest logits) and tells how many of each kind had ever been another token after so many iterations. The
second tells, per iteration, how many texts were new, and how surprising their tokens at the latents are to
the model that wrote them: garbled text is. After the first flip of consistent latents the text is another
one, so that later places differ by themselves. ``--show`` prints the beginnings of one question's attempts.
"""

import argparse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine.latents import Latents
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.engine.search import draft, refine
from latentseek_agents.evaluation.runs.problems import load_problems
from latentseek_agents.verdict import Attempt

console = Console(width=110)
KINDS = {
    f"{latents}, lr {rate}, fraction {fraction}": {
        "latents": latents,
        "learning_rate": rate,
        "fraction": fraction,
    }
    # The first is the paper's setting.
    for latents, rate, fraction in (
        ("independent", 0.03, 0.1),
        ("independent", 0.3, 0.2),
        ("consistent", 0.03, 1.0),
        ("consistent", 0.1, 1.0),
    )
}
QUESTIONS = (
    "A baker fills 7 bags with 6 rolls each and has 5 rolls left. How many rolls did she bake?",
    "Tom has 3 boxes of 12 pencils. He gives 9 pencils away. How many pencils does he have now?",
)
GAPS = (0.5, 1.0, 2.0, 4.0, 8.0, float("inf"))
_SHOWN_TOKENS = 40


@dataclass
class Trace:
    """One search.

    Args:
        gaps: Between the two largest logits at each latent of the draft.
        attempts: The draft and every iteration.
        surprise: Mean negative log-probability, in nats, of each attempt's tokens at the latents.
    """

    gaps: list[float]
    attempts: list[Attempt] = field(default_factory=list)
    surprise: list[float] = field(default_factory=list)

    def flipped_by(self, iteration: int) -> set[int]:
        """Latents that were another token than in the draft, or had none, in any iteration up to this one."""
        first = self.attempts[0].latent_token_ids
        found: set[int] = set()
        for attempt in self.attempts[1 : iteration + 1]:
            ids = attempt.latent_token_ids
            found |= {place for place, token in enumerate(first) if place >= len(ids) or ids[place] != token}
        return found

    def is_new(self, iteration: int) -> bool:
        """Whether this text was not written before."""
        text = self.attempts[iteration].token_ids
        return all(text != earlier.token_ids for earlier in self.attempts[:iteration])


def main() -> None:
    """Trace all questions with each kind of latents, and print the tables."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.model is None:
        backbone = Backbone.embedded(dtype="float32")
    else:
        backbone = Backbone.from_pretrained(arguments.model, gguf_file=arguments.gguf, dtype="float32")
    if arguments.data is None:
        questions = list(QUESTIONS[: arguments.limit])
    else:
        problems = load_problems(arguments.data, limit=arguments.limit, start=arguments.start)
        questions = [problem.question for problem in problems]
    console.print(f"{backbone}, {len(questions)} questions")
    configs = {
        name: LatentSeekConfig(**settings, max_new_tokens=arguments.max_new_tokens)
        for name, settings in KINDS.items()
    }
    # All at once: full passes take little longer than half empty ones.
    with ThreadPoolExecutor(len(questions) * len(KINDS)) as pool:
        waiting = {
            name: pool.map(
                partial(_trace, backbone, config=config, iterations=arguments.iterations), questions
            )
            for name, config in configs.items()
        }
        found = {name: [trace for trace in traces if trace is not None] for name, traces in waiting.items()}
    for name, traces in found.items():
        if not traces:
            console.print(f"{name}: every draft is too short to have latents")
            continue
        _print_flips(name, traces, arguments.iterations)
        _print_texts(name, traces, arguments.iterations)
        if arguments.show:
            _show(backbone, traces[0])


def _trace(backbone: Backbone, question: str, *, config: LatentSeekConfig, iterations: int) -> Trace | None:
    """None if the draft is too short to have latents."""
    made = draft(backbone, question, config)
    if not made.latents:
        return None
    latents = Latents.from_bytes(made.latents)
    with backbone.policy.lock, torch.no_grad():
        top = backbone.logits(latents.policy_inputs(1)[0]).topk(2).values
    trace = Trace((top[:, 0] - top[:, 1]).tolist())
    prompt_ids = backbone.encode_prompt(prompt_for(question, config.prompt))
    for iteration in range(iterations + 1):
        refused = [replace(attempt, score=-1.0, passed=False) for attempt in made.attempts]
        trace.attempts.append(refused[0])
        trace.surprise.append(_surprise(backbone, prompt_ids, refused[0]))
        if iteration < iterations:
            made = refine(
                backbone, question, config, latents=made.latents, samples=refused, history=trace.attempts
            )
    return trace


def _surprise(backbone: Backbone, prompt_ids: list[int], attempt: Attempt) -> float:
    ids = torch.tensor([[*prompt_ids, *attempt.latent_token_ids]], device=backbone.device)
    with backbone.policy.lock, torch.no_grad():
        logits = backbone.model(ids).logits[0, len(prompt_ids) - 1 : -1].float()
    return float(torch.nn.functional.cross_entropy(logits, ids[0, len(prompt_ids) :]))


def _print_flips(name: str, traces: list[Trace], iterations: int) -> None:
    table = Table(title=f"{name}: tokens that had flipped after so many iterations")
    for column in ("gap of logits below", "latents", *(str(i) for i in range(1, iterations + 1))):
        table.add_column(column, justify="right")
    sizes = Counter(_gap_class(gap) for trace in traces for gap in trace.gaps)
    for limit in GAPS:
        row = []
        for iteration in range(1, iterations + 1):
            places = ((trace, place) for trace in traces for place in trace.flipped_by(iteration))
            row.append(sum(_gap_class(trace.gaps[place]) == limit for trace, place in places))
        table.add_row(f"{limit:g}", str(sizes[limit]), *map(str, row))
    console.print(table)


def _gap_class(gap: float) -> float:
    return next(limit for limit in GAPS if gap < limit)


def _print_texts(name: str, traces: list[Trace], iterations: int) -> None:
    table = Table(title=f"{name}: the texts")
    for column in ("iteration", "new texts", "tokens changed at the latents", "surprise of these (nats)"):
        table.add_column(column, justify="right")
    for iteration in range(iterations + 1):
        new = sum(trace.is_new(iteration) for trace in traces)
        changed = [trace.attempts[iteration].changed for trace in traces]
        surprise = sum(trace.surprise[iteration] for trace in traces) / len(traces)
        table.add_row(
            str(iteration), str(new), f"{sum(map(len, changed)) / len(traces):.1f}", f"{surprise:.2f}"
        )
    console.print(table)


def _show(backbone: Backbone, trace: Trace) -> None:
    for attempt in trace.attempts:
        text = backbone.tokenizer.decode(attempt.token_ids[:_SHOWN_TOKENS])
        console.print(f"{attempt.iteration}: {text!r}", markup=False, highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", help="name or folder; default: the embedded SmolLM2")
    parser.add_argument("--gguf")
    parser.add_argument("--data", help="gsm8k or a JSON Lines file; default: two questions of our own")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--max-new-tokens", type=int, default=250)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--show", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
