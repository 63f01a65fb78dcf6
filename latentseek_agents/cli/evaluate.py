"""``latentseek eval``: how often methods answer right, at what cost, on problems with known answers."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from latentseek_agents.cli.evaluation_progress import EvaluationProgress
from latentseek_agents.cli.models import EMBEDDED, load_backbone
from latentseek_agents.cli.process import command, fast_imports, say
from latentseek_agents.cli.settings import (
    CONSISTENT,
    MAX_ITERATIONS_HELP,
    MAX_NEW_TOKENS_HELP,
    PRESET_HELP,
    SET_HELP,
    search_config,
)
from latentseek_agents.errors import ConfigError

if TYPE_CHECKING:
    from latentseek_agents.evaluation.runs.plan import Shard

__all__ = ["evaluate"]

_Value = TypeVar("_Value", bound=str)


@command()
def evaluate(  # noqa: PLR0917 - Typer reads the options from the signature
    data: Annotated[
        str,
        typer.Option(metavar="NAME|FILE.jsonl", help="Comma-separated: gsm8k, math500, aime24, or files."),
    ],
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of the run; one that is in it is continued.")
    ],
    method: Annotated[
        str,
        typer.Option(
            help="Comma-separated. cot: one greedy answer; bon:N[:REWARD]: the best of N samples; sc:N: the "
            "majority of N; REWARD: the search with it; walk[:REWARD]: the search in random directions. "
            "REWARD: self, self_logprob, steps, combined, combined_logprob, or psrm, which is told the known "
            "answer (an oracle)."
        ),
    ] = "cot,sc,self",
    prompt: Annotated[
        str, typer.Option(help="How to ask for the answer: boxed (\\boxed{}), json or both, comma-separated.")
    ] = "boxed",
    limit: Annotated[int | None, typer.Option(help="At most so many problems of each data set.")] = None,
    start: Annotated[int, typer.Option(help="Number of the first problem, counted from 0.")] = 0,
    model: Annotated[
        str | None, typer.Option(help=f"Hugging Face name, folder or GGUF file. [default: {EMBEDDED}]")
    ] = None,
    gguf_file: Annotated[str | None, typer.Option(help="GGUF file, within --model or by itself.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="[MODEL:]DATASET", help=PRESET_HELP),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP),
    ] = None,
    max_iterations: Annotated[int | None, typer.Option(help=MAX_ITERATIONS_HELP)] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help=MAX_NEW_TOKENS_HELP)] = None,
    temperature: Annotated[float, typer.Option(help="Of the samples of bon and sc.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    batch: Annotated[int, typer.Option(help="How many problems to work on at the same time.")] = 8,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Most sequences in one forward pass. [default: --batch, at least 32]"),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(metavar="I/N", help="Work on every N-th problem only, from the I-th, counted from 0."),
    ] = "0/1",
    ray: Annotated[
        int | None, typer.Option(metavar="N", help="Spread over N actors of Ray, each with a model.")
    ] = None,
    ray_cores: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Cores of each actor of Ray. [default: a share of the cluster, within one machine]",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run methods over problems with known answers.

    latentseek report DIR shows what came out.
    """
    from latentseek_agents.evaluation.runs.problems import load_problems

    prompts = _prompts(prompt)
    problems = [
        problem
        for name in _names(data, "--data")
        for problem in load_problems(name, limit=limit, start=start)
    ]
    part = _shard(shard)
    with fast_imports():
        from latentseek_agents.engine._decoding.decode import DecodingOptions
        from latentseek_agents.evaluation import EvaluationPlan, evaluate_with_ray
        from latentseek_agents.evaluation import evaluate as run
        from latentseek_agents.evaluation.runs.method_names import MethodName, method_names
    methods = method_names(_names(method, "--method"))
    given: dict[str, Any] = {"max_iterations": max_iterations, "max_new_tokens": max_new_tokens, "seed": seed}
    if preset not in (None, CONSISTENT):
        _only("data set", _names(data, "--data"), preset)
        given["prompt"] = _only("prompt", prompts, preset)
    config = search_config(
        given,
        settings=setting or (),
        preset=preset,
        model=model,
        reward=_preset_reward(preset, methods),
    )
    if ray is not None and part.count > 1:
        raise ConfigError("--ray shares the problems out by itself; leave --shard away")
    if ray is None and ray_cores is not None:
        raise ConfigError(f"--ray-cores {ray_cores} is for the actors of Ray; say how many with --ray")
    plan = EvaluationPlan(
        problems=problems,
        methods=methods,
        config=config,
        prompts=prompts,  # type: ignore[arg-type]
        temperature=temperature,
        batch=batch,
    )
    named = ", ".join(f"{name} (oracle)" if MethodName(name).oracle else name for name in methods)
    say(f"{len(problems)} problems, methods {named}; the results go to {out}")
    progress = EvaluationProgress(quiet=quiet)
    width = rows or max(batch, DecodingOptions.max_rows)
    load = partial(load_backbone, model, gguf_file=gguf_file, dtype=dtype, device=device, rows=width)
    with progress:
        if ray is not None:
            evaluate_with_ray(load, plan, out, actors=ray, cores_per_actor=ray_cores, listener=progress)
        else:
            run(load(), plan, out, shard=part, listener=progress)
    for line in progress.lines():
        typer.echo(line)


def _preset_reward(preset: str | None, methods: Sequence[str]) -> Literal["self", "psrm"]:
    """Which of the paper's tables; it has one for the oracle, and one for all else."""
    from latentseek_agents.evaluation.runs.method_names import MethodName

    searches = [name for name in map(MethodName, methods) if name.searches]
    if preset in (None, CONSISTENT) or not searches:
        return "self"
    return _only("reward", ["psrm" if name.oracle else "self" for name in searches], preset)


def _only(what: str, values: Sequence[_Value], preset: str | None) -> _Value:
    if len(set(values)) > 1:
        raise ConfigError(
            f"--preset {preset}: the paper has other settings for each {what}, and here are "
            f"{' and '.join(sorted(map(str, set(values))))}; evaluate each in a folder of its own"
        )
    return values[0]


def _names(value: str, option: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"{option} {value!r} names nothing")
    return names


def _prompts(value: str) -> list[str]:
    names = _names(value, "--prompt")
    for name in names:
        if name not in ("boxed", "json"):
            raise ConfigError(f"--prompt {name!r} is neither boxed nor json")
    return names


def _shard(value: str) -> "Shard":
    from latentseek_agents.evaluation.runs.plan import Shard

    index, _, count = value.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ConfigError(f"--shard {value!r}: write it as 0/2, the part's number and how many there are")
    return Shard(int(index), int(count))
