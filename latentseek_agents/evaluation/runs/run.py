"""Run methods over problems into a folder; what is done already is not done again."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import stopped_by
from latentseek_agents.engine.machine import processor_kind
from latentseek_agents.errors import ConfigError, InputError, LatentSeekError
from latentseek_agents.evaluation.runs.folder import RunFolder, read_outcomes
from latentseek_agents.evaluation.runs.identity import code_fingerprint, run_settings
from latentseek_agents.evaluation.runs.methods import Method, Work, problem_seed
from latentseek_agents.evaluation.runs.plan import EvaluationPlan, Listener, Shard, Task, add_to_plan
from latentseek_agents.evaluation.runs.records import ERROR, AttemptRecord, Key, Outcome
from latentseek_agents.evaluation.runs.samples import DrawnSamples, rows_of_tasks
from latentseek_agents.evaluation.runs.unfinished import UnfinishedSearches

__all__ = ["evaluate"]

_log = logging.getLogger(__name__)


class Worker:
    """A backbone, and the methods of a plan over it.

    Args:
        backbone: The frozen policy.
        plan: Its methods and settings.

    Attributes:
        settings: What decides whether results belong together, for ``run.json``.
    """

    def __init__(self, backbone: Backbone, plan: EvaluationPlan) -> None:
        self._methods = {name: Method(name, backbone, temperature=plan.temperature) for name in plan.methods}
        self._config = plan.config
        self.settings = run_settings(backbone, plan.config, temperature=plan.temperature)
        self._code = code_fingerprint()  # now: the sources may have changed when the last outcome is written
        self._processor = processor_kind(backbone.device.type)

    def perform(
        self,
        task: Task,
        run: str,
        unfinished: UnfinishedSearches | None = None,
        drawn: DrawnSamples | None = None,
    ) -> Outcome:
        """Do one task. A problem that cannot be worked on (it is too long, say) has a wrong answer.

        Args:
            task: What to do.
            run: The run's fingerprint.
            unfinished: Where searches are saved after each iteration and resumed from.
            drawn: Samples that other methods have drawn.

        Raises:
            ConfigError: A setting is out of range, whatever the problem.
            Cancelled: The run is over.
        """
        began = time.monotonic()
        key, problem, digest = task.key, task.problem, task.problem.digest
        seed = problem_seed(self._config.seed, problem)
        try:
            work = self._methods[key.method].solve(
                problem,
                self._config.replace(prompt=key.prompt, seed=seed),
                None if unfinished is None else unfinished.of(key, digest),
                () if drawn is None else drawn.of(key, digest),
                () if drawn is None else drawn.draft_of(key, digest),
            )
        except ConfigError:
            raise
        except LatentSeekError as error:
            failure = AttemptRecord(
                attempt=0, answer=None, right=False, finish_reason="error", text=str(error)
            )
            work = Work((failure,), 0, f"{ERROR}{type(error).__name__}")
        return Outcome(
            key=key,
            run=run,
            seed=seed,
            reference=problem.reference,
            attempts=work.attempts,
            chosen=work.chosen,
            stop_reason=work.stop_reason,
            corrected=work.corrected,
            corrected_right=work.corrected_right,
            prepared_answer=work.prepared_answer,
            digest=digest,
            seconds=time.monotonic() - began,
            code=self._code,
            processor=self._processor,
        )


def evaluate(
    backbone: Backbone,
    plan: EvaluationPlan,
    out: str | Path,
    *,
    shard: Shard | None = None,
    listener: Listener | None = None,
) -> None:
    """Answer the problems with each method, and append every outcome to the run's folder.

    Call it again to go on with a run that was killed, or to add methods, prompts or problems to it.

    Args:
        backbone: The frozen policy.
        plan: Problems, methods and settings.
        out: The run's folder.
        shard: This process's part of the problems, if others work on the rest.
        listener: Follows the evaluation.

    Raises:
        ConfigError: A setting is out of range.
        InputError: The folder holds another run or results of other problems, another process writes this
            shard, or an outcome cannot be written.

    Example:
        >>> import tempfile
        >>> from latentseek_agents import LatentSeekConfig
        >>> from latentseek_agents.evaluation.runs.problems import Problem
        >>> from latentseek_agents.testing import tiny_backbone
        >>> plan = EvaluationPlan(problems=[Problem("made up", 0, "What is 1 + 1?", "2")], methods=["cot"],
        ...                       config=LatentSeekConfig(max_new_tokens=4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     evaluate(tiny_backbone(), plan, folder)
        ...     [outcome.key.method for outcome in read_outcomes(folder)]
        ['cot']
    """
    part, listener = shard or Shard(), listener or Listener()
    worker = Worker(backbone, plan)
    tasks = plan.tasks(part)
    with RunFolder(out, worker.settings, part.name) as folder:
        known = known_outcomes(tasks, out)
        add_to_plan(out, part.name, [task.key for task in tasks])
        listener.on_plan(tasks, [known[task.key] for task in tasks if task.key in known])
        unfinished = UnfinishedSearches(Path(out) / "unfinished", folder.fingerprint, listener.on_attempt)
        drawn = DrawnSamples(known.values())
        for task in tasks:
            if task.key in known:
                unfinished.of(task.key, task.problem.digest).remove()

        def keep(outcome: Outcome) -> None:
            folder.append(outcome)
            drawn.add(outcome)
            unfinished.of(outcome.key, outcome.digest).remove()

        _work_off(
            rows_of_tasks([task for task in tasks if task.key not in known]),
            plan.batch,
            lambda task: worker.perform(task, folder.fingerprint, unfinished, drawn),
            keep,
            listener,
        )


def known_outcomes(tasks: Sequence[Task], out: str | Path) -> dict[Key, Outcome]:
    """The outcomes that a run's folder holds, by their keys; none if it holds no run yet.

    Raises:
        InputError: A problem there has the same name and number as one here, but is another.
    """
    if not Path(out, "run.json").exists():
        return {}
    known = {outcome.key: outcome for outcome in read_outcomes(out)}
    questions = {(key.dataset, key.problem): outcome.question for key, outcome in known.items()}
    for problem in (task.problem for task in tasks):
        question = (problem.reference, problem.digest)
        if questions.get((problem.dataset, problem.number), question) != question:
            raise InputError(
                f"{out} has results of another problem {problem.number} of {problem.dataset!r}; use the "
                "file that they were made with, or name another folder"
            )
    return known


def _work_off(
    rows: Sequence[Sequence[Task]],
    batch: int,
    perform: Callable[[Task], Outcome],
    keep: Callable[[Outcome], None],
    listener: Listener,
) -> None:
    """Do the tasks, ``batch`` rows at a time. The first error ends all work, and is raised.

    What is finished after it is kept, too: it was paid for.
    """
    stop, lock = threading.Event(), threading.Lock()
    errors: list[BaseException] = []

    def work(row: Sequence[Task]) -> None:
        for task in row:
            if stop.is_set():
                return
            try:
                with stopped_by(stop):
                    outcome = perform(task)
                with lock:
                    keep(outcome)
                    if not errors:
                        listener.on_outcome(outcome)
            except BaseException as error:  # raised below, in the thread of the caller
                if errors and isinstance(error, InputError):
                    _log.warning("the outcome of problem %s is lost: %s", task.key.problem, error)
                errors.append(error)
                stop.set()

    with ThreadPoolExecutor(batch, thread_name_prefix="evaluate") as pool:
        try:
            wait([pool.submit(work, row) for row in rows])
        finally:
            stop.set()  # after Ctrl-C, running tasks end at their next token or verdict
            pool.shutdown(cancel_futures=True)
    if errors:
        raise errors[0]
