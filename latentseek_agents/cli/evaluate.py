"""``latentseek eval``: how often methods answer right, at what cost, on problems with known answers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from latentseek_agents.cli.models import ModelOptions, load_backbone
from latentseek_agents.cli.options import option_groups
from latentseek_agents.cli.process import command, fast_imports, say
from latentseek_agents.cli.settings import OWN_PRESETS, SearchOptions
from latentseek_agents.errors import ConfigError

if TYPE_CHECKING:
    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.evaluation.runs.plan import EvaluationPlan, Shard
    from latentseek_agents.evaluation.runs.problems import Problem

__all__ = ["evaluate"]

_Value = TypeVar("_Value", bound=str)


@dataclass(frozen=True)
class DataOptions:
    """Which problems, and for which methods and prompts."""

    data: Annotated[
        str,
        typer.Option(metavar="NAME|FILE.jsonl", help="Comma-separated: gsm8k, math500, aime24, or files."),
    ]
    method: Annotated[
        str,
        typer.Option(
            help="Comma-separated. cot: one greedy answer; sc:N: the majority of N; vote:N[:REWARD]: their "
            "verified vote; bon:N[:REWARD]: the best of them; agreement[:latents][:REWARD]: the search for "
            "agreement; program: a program alone; REWARD: the search of latents that ends when it passes; "
            "walk[:REWARD]: the search in random directions; combined_program where none is named. "
            "REWARD: self, self_logprob, steps, combined, combined_logprob, program, combined_program, or "
            "psrm, which is told the known answer (an oracle)."
        ),
    ] = "cot,sc,agreement"
    prompt: Annotated[
        str, typer.Option(help="How to ask for the answer: boxed (\\boxed{}), json or both, comma-separated.")
    ] = "boxed"
    temperature: Annotated[float, typer.Option(help="Of the samples.")] = 0.8
    limit: Annotated[int | None, typer.Option(help="At most so many problems of each data set.")] = None
    start: Annotated[int, typer.Option(help="Number of the first problem, counted from 0.")] = 0

    @property
    def names(self) -> list[str]:
        """The data sets."""
        return _names(self.data, "--data")

    def problems(self) -> "list[Problem]":
        """The problems of all data sets."""
        from latentseek_agents.evaluation.runs.problems import load_problems

        names = self.names
        with fast_imports():  # the library datasets has bars of its own
            return [one for name in names for one in load_problems(name, limit=self.limit, start=self.start)]

    def prompts(self) -> list[Any]:
        """The prompts, which are known ones."""
        prompts = _names(self.prompt, "--prompt")
        for name in prompts:
            if name not in ("boxed", "json"):
                raise ConfigError(f"--prompt {name!r} is neither boxed nor json")
        return prompts


@dataclass(frozen=True)
class ProcessOptions:
    """How the work is spread."""

    batch: Annotated[int, typer.Option(help="How many problems to work on at the same time.")] = 8
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Most sequences in one forward pass. [default: --batch, at least 32]"),
    ] = None
    shard: Annotated[
        str,
        typer.Option(metavar="I/N", help="Work on every N-th problem only, from the I-th, counted from 0."),
    ] = "0/1"
    ray: Annotated[
        int | None, typer.Option(metavar="N", help="Spread over N actors of Ray, each with a model.")
    ] = None
    ray_cores: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Cores of each actor of Ray. [default: a share of the cluster, within one machine]",
        ),
    ] = None

    def part(self) -> "Shard":
        """This process's part of the problems, which Ray leaves whole."""
        from latentseek_agents.evaluation.runs.plan import Shard

        index, _, count = self.shard.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise ConfigError(
                f"--shard {self.shard!r}: write it as 0/2, the part's number and how many there are"
            )
        if self.ray is not None and int(count) > 1:
            raise ConfigError("--ray shares the problems out by itself; leave --shard away")
        if self.ray is None and self.ray_cores is not None:
            raise ConfigError(
                f"--ray-cores {self.ray_cores} is for the actors of Ray; say how many with --ray"
            )
        return Shard(int(index), int(count))


@command()
@option_groups
def evaluate(
    data: DataOptions,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of the run; one that is in it is continued.")
    ],
    model: ModelOptions,
    settings: SearchOptions,
    process: ProcessOptions,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run methods over problems with known answers.

    latentseek report DIR shows what came out.
    """
    part = process.part()
    with fast_imports():
        from latentseek_agents.cli.evaluation_progress import EvaluationProgress
        from latentseek_agents.engine._decoding import DecodingOptions
        from latentseek_agents.evaluation.runs.method_names import MethodName
    plan = _plan(data, model, settings, process)
    named = ", ".join(f"{name} (oracle)" if MethodName(name).oracle else name for name in plan.methods)
    say(f"{len(plan.problems)} problems, methods {named}; the results go to {out}")
    rows = process.rows or max(process.batch, DecodingOptions.max_rows)
    load = partial(load_backbone, **asdict(model), rows=rows)
    progress = EvaluationProgress(quiet=quiet)
    with progress:
        if process.ray is not None:
            from latentseek_agents.evaluation.runs.ray_run import evaluate_with_ray

            evaluate_with_ray(
                load, plan, out, actors=process.ray, cores_per_actor=process.ray_cores, listener=progress
            )
        else:
            from latentseek_agents.evaluation.runs.run import evaluate as evaluate_here

            evaluate_here(load(), plan, out, shard=part, listener=progress)
    for line in progress.lines():
        typer.echo(line)


def _plan(
    data: DataOptions, model: ModelOptions, settings: SearchOptions, process: ProcessOptions
) -> "EvaluationPlan":
    from latentseek_agents.evaluation.runs.method_names import method_names
    from latentseek_agents.evaluation.runs.plan import EvaluationPlan

    prompts = data.prompts()
    methods = method_names(_names(data.method, "--method"))
    return EvaluationPlan(
        problems=data.problems(),
        methods=methods,
        config=_config(data.names, methods, prompts, model.model, settings),
        prompts=prompts,
        temperature=data.temperature,
        batch=process.batch,
    )


def _config(
    data: Sequence[str],
    methods: Sequence[str],
    prompts: Sequence[str],
    model: str | None,
    options: SearchOptions,
) -> "LatentSeekConfig":
    """The configuration; a preset of the paper is one of a data set, a prompt and a reward."""
    from latentseek_agents.evaluation.runs.method_names import MethodName

    preset = options.preset
    if preset in (None, *OWN_PRESETS):
        return options.config(model=model)
    _only("data set", data, preset)
    prompt = _only("prompt", prompts, preset)
    oracles = [name.oracle for name in map(MethodName, methods) if name.searches]
    # The paper has a table for the oracle, and one for all else.
    rewards: list[Literal["self", "psrm"]] = ["psrm" if oracle else "self" for oracle in oracles or [False]]
    reward = _only("reward", rewards, preset)
    return options.config(model=model, reward=reward, prompt=prompt)


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
