"""Run methods over problems into a folder; what is done already is not done again."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import stopped_by
from latentseek_agents.errors import ConfigError, InputError, LatentSeekError
from latentseek_agents.evaluation.drawn_samples import DrawnSamples, share_samples
from latentseek_agents.evaluation.methods import Method, Work, make_method, method_names, problem_seed
from latentseek_agents.evaluation.plans import add_to_plan
from latentseek_agents.evaluation.problems import Problem
from latentseek_agents.evaluation.questions import KnownQuestions, Question
from latentseek_agents.evaluation.records import AttemptRecord, Key, Outcome, RunFolder, read_outcomes
from latentseek_agents.evaluation.run_identity import code_fingerprint, run_settings
from latentseek_agents.evaluation.unfinished import UnfinishedSearches

__all__ = ["Shard", "Task", "evaluate", "known_outcomes", "perform", "plan"]

_log = logging.getLogger(__name__)

Prompt = Literal["boxed", "json"]


@dataclass(frozen=True)
class Shard:
    """One of several disjoint parts of a run's problems.

    Args:
        index: From 0.
        count: How many parts there are.

    Raises:
        ConfigError: ``index`` is not in [0, count).
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"shard {self.index}/{self.count}: the first number must be in [0, the second)")

    @property
    def name(self) -> str:
        """For file names."""
        return f"{self.index}-of-{self.count}"

    def takes(self, problem: Problem) -> bool:
        """Whether the problem is in this part."""
        return problem.number % self.count == self.index


@dataclass(frozen=True)
class Task:
    """One problem for one method with one prompt.

    Args:
        key: Data, prompt, method, problem.
        problem: The problem itself.
    """

    key: Key
    problem: Problem


def plan(
    problems: Sequence[Problem], methods: Sequence[str], prompts: Sequence[Prompt], shard: Shard | None = None
) -> list[Task]:
    """All tasks of a run, method by method.

    Args:
        problems: Of any number of data sets.
        methods: Full names, as :attr:`~latentseek_agents.evaluation.methods.Method.name` has them.
        prompts: One or both.
        shard: Which part of the problems; None is all of them.

    Raises:
        InputError: Two problems have the same name and number.
    """
    counts = Counter((problem.dataset, problem.number) for problem in problems)
    for (dataset, number), count in counts.items():
        if count > 1:
            raise InputError(
                f"problem {number} of {dataset!r} is there {count} times; name each file once, and give "
                "files with other problems other names"
            )
    mine = [problem for problem in problems if shard is None or shard.takes(problem)]
    return [
        Task(Key(problem.dataset, prompt, method, problem.number), problem)
        for prompt in prompts
        for method in methods
        for problem in mine
    ]


def perform(
    task: Task,
    method: Method,
    config: LatentSeekConfig,
    run: str,
    unfinished: UnfinishedSearches | None = None,
    drawn: DrawnSamples | None = None,
    code: str | None = None,
) -> Outcome:
    """Do one task. A problem that cannot be worked on (it is too long, say) has a wrong answer.

    A search whose latents stop being finite ends there, with the attempts that it has made.

    Args:
        task: What to do.
        method: The method that ``task.key`` names.
        config: Its seed is the run's; the problem gets one of its own.
        run: The run's fingerprint.
        unfinished: Where searches are kept after each iteration, and gone on with if one is there.
        drawn: Samples that other methods have drawn.
        code: Fingerprint of the code that does it.

    Raises:
        ConfigError: A setting is out of range, which is no matter of this problem.
        Cancelled: The run is over.
    """
    began = time.monotonic()
    seed = problem_seed(config.seed, task.problem)
    own = config.replace(prompt=task.key.prompt, seed=seed)
    try:
        kept = None if unfinished is None else unfinished.of(task.key, task.problem.digest)
        samples = () if drawn is None else drawn.of(task.key, task.problem.digest)
        work = method.solve(task.problem, own, kept, samples)
    except ConfigError:
        raise
    except LatentSeekError as error:
        failed = AttemptRecord(attempt=0, answer=None, right=False, finish_reason="error", text=str(error))
        work = Work((failed,), 0, f"error: {type(error).__name__}")
    return Outcome(
        key=task.key,
        run=run,
        seed=seed,
        reference=task.problem.reference,
        attempts=work.attempts,
        chosen=work.chosen,
        stop_reason=work.stop_reason,
        digest=task.problem.digest,
        seconds=time.monotonic() - began,
        code=code,
    )


def evaluate(
    backbone: Backbone,
    problems: Sequence[Problem],
    *,
    methods: Sequence[str],
    out: str | Path,
    config: LatentSeekConfig | None = None,
    prompts: Sequence[Prompt] = ("boxed",),
    temperature: float = 0.8,
    batch: int = 8,
    shard: Shard | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_plan: Callable[[Sequence[Task], Sequence[Outcome]], None] | None = None,
    on_attempt: Callable[[Key, int], None] | None = None,
) -> None:
    """Answer the problems with each method, and append every attempt to the run's folder.

    Call it again to go on with a run that was killed, or to add methods, prompts or problems to it.

    Args:
        backbone: The frozen policy.
        problems: What to solve.
        methods: Names, see :mod:`~latentseek_agents.evaluation.methods`.
        out: The run's folder.
        config: Settings of the search, limits and seed; its ``prompt`` is replaced by ``prompts``.
        prompts: ``"boxed"``, ``"json"`` or both.
        temperature: Of the samples of ``bon`` and ``sc``.
        batch: How many problems to work on at the same time.
        shard: This process's part of the problems, if others work on the rest.
        on_outcome: Called with each outcome as it is written, from one thread at a time.
        on_plan: Called once with all tasks, and the outcomes among them that the folder already holds.
        on_attempt: Called with a search's key and how many attempts it has made, after each but the last,
            from whichever thread.

    Raises:
        ConfigError: A setting is out of range.
        InputError: The folder holds another run or results of other problems, another process writes this
            shard, two problems have the same name and number, or an outcome cannot be written.

    Example:
        >>> import tempfile
        >>> from latentseek_agents.evaluation import read_outcomes
        >>> from latentseek_agents.testing import tiny_backbone
        >>> problems = [Problem("made up", 0, "What is 1 + 1?", "2")]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     evaluate(tiny_backbone(), problems, methods=["cot"], out=folder,
        ...              config=LatentSeekConfig(max_new_tokens=4))
        ...     [outcome.key.method for outcome in read_outcomes(folder)]
        ['cot']
    """
    if batch < 1:
        raise ConfigError(f"batch={batch}: at least 1 problem at a time is needed")
    base = config or LatentSeekConfig()
    part = shard or Shard()
    made = {name: make_method(name, backbone, temperature=temperature) for name in method_names(methods)}
    settings = run_settings(backbone, base, temperature=temperature)
    code = code_fingerprint()  # now: the sources may be others when the last outcome is written
    stop = threading.Event()
    tasks = plan(problems, list(made), prompts, part)
    with RunFolder(out, settings, part.name) as folder:
        known = known_outcomes(tasks, out)
        add_to_plan(out, part.name, [task.key for task in tasks])
        if on_plan is not None:
            on_plan(tasks, [known[task.key] for task in tasks if task.key in known])
        waiting = [task for task in tasks if task.key not in known]
        unfinished = UnfinishedSearches(Path(out) / "unfinished", folder.fingerprint, on_attempt)
        drawn = DrawnSamples(known.values())
        for task in tasks:
            if task.key in known:
                unfinished.of(task.key, task.problem.digest).remove()

        def work(task: Task) -> Outcome:
            with stopped_by(stop):
                method = made[task.key.method]
                return perform(task, method, base, folder.fingerprint, unfinished, drawn, code)

        def keep(outcome: Outcome) -> None:
            folder.append(outcome)
            drawn.add(outcome)
            unfinished.of(outcome.key, str(outcome.digest)).remove()

        running: set[Future[Outcome]] = set()
        with ThreadPoolExecutor(batch, thread_name_prefix="evaluate") as pool:
            try:
                rows = share_samples(waiting, lambda task: task.key)
                for outcome in _as_completed(pool, work, rows, batch, running):
                    keep(outcome)
                    if on_outcome is not None:
                        on_outcome(outcome)
            finally:
                stop.set()  # on an error or Ctrl-C: what is under way ends at its next token or verdict
                pool.shutdown(cancel_futures=True)
                for future in running:  # what came to its end meanwhile was paid for
                    if not future.cancelled() and future.exception() is None:
                        _kept_at_the_end(keep, future.result())


def _kept_at_the_end(keep: Callable[[Outcome], None], outcome: Outcome) -> None:
    """Keep what came to its end after an error; where that fails, the error before it is the one to tell."""
    try:
        keep(outcome)
    except InputError as error:
        _log.warning("the outcome of problem %s is lost: %s", outcome.key.problem, error)


def known_outcomes(tasks: Sequence[Task], out: str | Path) -> dict[Key, Outcome]:
    """What a run's folder holds already, by its key; nothing if it holds no run yet.

    Raises:
        InputError: A problem there has the same name and number as one here, but is another.
    """
    if not Path(out, "run.json").exists():
        return {}
    known = {outcome.key: outcome for outcome in read_outcomes(out)}
    questions = KnownQuestions()
    for key, outcome in known.items():
        questions.add(key.dataset, key.problem, outcome.question)
    for task in tasks:
        problem = task.problem
        if not questions.add(problem.dataset, problem.number, Question(problem.reference, problem.digest)):
            raise InputError(
                f"{out} has results of another problem {problem.number} of {problem.dataset!r}; use the "
                "file that they were made with, or name another folder"
            )
    return known


def _as_completed(
    pool: ThreadPoolExecutor,
    work: Callable[[Task], Outcome],
    rows: Sequence[Sequence[Task]],
    batch: int,
    running: set[Future[Outcome]],
) -> Iterator[Outcome]:
    """Outcomes as they come, with at most ``batch`` tasks in ``running``: what the caller has not got yet.

    The next task of a row begins when the caller has dealt with the outcome of the one before.
    """
    waiting = (iter(row) for row in rows)
    under_way: dict[Future[Outcome], Iterator[Task]] = {}

    def begin(row: Iterator[Task] | None) -> None:
        while row is not None:
            task = next(row, None)
            if task is not None:
                future = pool.submit(work, task)
                running.add(future)
                under_way[future] = row
                return
            row = next(waiting, None)

    for row in islice(waiting, batch):
        begin(row)
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            running.remove(future)
            yield future.result()
            begin(under_way.pop(future))
