"""``latentseek eval`` on a tiny model in a folder."""

import itertools
import json
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from latentseek_agents.cli import app
from latentseek_agents.cli.evaluation_progress import EvaluationProgress
from latentseek_agents.engine._decoding.packed_forward import PackedModel
from latentseek_agents.errors import ConfigError
from latentseek_agents.evaluation.runs.folder import read_outcomes, read_settings
from latentseek_agents.evaluation.runs.plan import Task
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import AttemptRecord, Key, Outcome
from latentseek_agents.testing import tiny_model, tiny_tokenizer

RUN = CliRunner()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "sums.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(3)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return str(file)


def test_methods_and_prompts_are_run_and_shown(model, data, tmp_path):
    out = tmp_path / "run"
    arguments = ["eval", "--data", data, "--out", str(out), "--model", model, "--max-new-tokens", "8"]
    arguments += ["--method", "cot,sc:2,psrm", "--prompt", "boxed,json", "--max-iterations", "1"]
    arguments += ["--set", "fraction=0.5", "--set", "latents=consistent", "--seed", "3"]
    done = RUN.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "sums boxed cot: 0 of 3 right" in done.stdout
    assert "sums json psrm: 0 of 3 right (oracle)" in done.stdout
    assert "3 problems, methods cot, sc:2, psrm (oracle); the results go to" in done.stderr
    assert len(read_outcomes(out)) == 3 * 2 * 3
    settings = read_settings(out)["config"]
    assert (settings["fraction"], settings["latents"], settings["seed"]) == (0.5, "consistent", 3)

    again = RUN.invoke(app, [*arguments, "--limit", "2"])
    assert again.exit_code == 0, again.output
    assert "sums boxed cot: 0 of 2 right" in again.stdout
    assert again.stdout.count("sums boxed cot") == 1
    assert "12 of 12 answers were there already; nothing left to do" in again.stderr
    assert len(read_outcomes(out)) == 3 * 2 * 3

    other = RUN.invoke(app, [*arguments, "--set", "learning_rate=0.5"])
    assert other.exit_code == 2
    assert "holds another run" in other.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "magic"], "is unknown; the methods are"),
        (["--method", ","], "names nothing"),
        (["--prompt", "xml"], "is neither boxed nor json"),
        (["--shard", "3/2"], "shard 3/2"),
        (["--shard", "half"], "write it as 0/2"),
        (["--set", "fraction"], "write it as name=value"),
        (["--set", "fraction=2"], "fraction=2"),
        (["--set", "colour=red"], "there is no such setting"),
        (["--preset", "GPT-9:gsm8k"], "GPT-9"),
        (["--preset", "gsm8k", "--prompt", "boxed,json"], "other settings for each prompt"),
        (
            ["--preset", "gsm8k", "--method", "self,psrm"],
            "other settings for each reward, and here are psrm and",
        ),
        (["--rows", "0"], "--rows"),
        (["--data", "nowhere.jsonl"], "cannot be read"),
        (["--ray", "2", "--shard", "0/2"], "leave --shard away"),
        (["--ray-cores", "2"], "say how many with --ray"),
        (["--ray", "2", "--temperature", "-1"], "temperature=-1.0 of the samples"),
        (["--temperature", "nan"], "temperature=nan of the samples"),
    ],
)
def test_bad_options_are_refused_before_a_model_is_loaded(data, tmp_path, options, message):
    arguments = ["eval", "--data", data, "--out", str(tmp_path / "run"), "--model", "no/such-model"]
    done = RUN.invoke(app, [*arguments, *options])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_one_preset_is_not_for_two_data_sets(data, tmp_path):
    other = tmp_path / "others.jsonl"
    other.write_text(json.dumps({"question": "What is 5 + 1?", "answer": 6}))
    arguments = ["eval", "--data", f"{data},{other}", "--out", str(tmp_path / "run"), "--preset", "gsm8k"]
    done = RUN.invoke(app, [*arguments, "--model", "Qwen/Qwen2.5-7B-Instruct"])
    assert done.exit_code == 2
    assert "other settings for each data set" in done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--preset", "Qwen2.5-1.5B-Instruct:gsm8k", "--method", "cot,self"], (0.03, 0.05, "independent")),
        (["--preset", "Qwen2.5-1.5B-Instruct:gsm8k", "--method", "sc:1,psrm"], (0.03, 0.2, "independent")),
        (
            ["--preset", "Qwen2.5-1.5B-Instruct:gsm8k", "--method", "self", "--prompt", "json"],
            (10.0, 0.2, "independent"),
        ),
        (
            ["--preset", "consistent", "--method", "cot,psrm", "--prompt", "boxed,json"],
            (0.1, 1.0, "consistent"),
        ),
    ],
)
def test_a_preset_is_that_of_the_prompt_and_the_reward(model, data, tmp_path, options, expected):
    out = tmp_path / "run"
    limits = ["--limit", "1", "--max-new-tokens", "2", "--max-iterations", "0", "--rows", "2"]
    done = RUN.invoke(app, ["eval", "--data", data, "--out", str(out), "--model", model, *limits, *options])
    assert done.exit_code == 0, done.output
    config = read_settings(out)["config"]
    assert (config["learning_rate"], config["fraction"], config["latents"]) == expected


def test_rows_are_as_many_as_asked_for(monkeypatch, data, tmp_path):
    asked = []

    def load(*_, rows, **__):
        asked.append(rows)
        raise ConfigError("this is enough")

    monkeypatch.setattr("latentseek_agents.cli.evaluate.load_backbone", load)
    for options in ([], ["--rows", "2"], ["--batch", "50"], ["--batch", "50", "--rows", "40"]):
        RUN.invoke(app, ["eval", "--data", data, "--out", str(tmp_path / "run"), "--method", "cot", *options])
    assert asked == [32, 2, 50, 40]


def test_an_evaluation_never_chooses_int8_by_itself(monkeypatch, data, tmp_path):
    asked = []

    def load(*_, **options):
        asked.append((options["dtype"], options.get("fastest", False)))
        raise ConfigError("this is enough")

    monkeypatch.setattr("latentseek_agents.cli.evaluate.load_backbone", load)
    for options in ([], ["--dtype", "int8"]):
        RUN.invoke(app, ["eval", "--data", data, "--out", str(tmp_path / "run"), "--method", "cot", *options])
    assert asked == [(None, False), ("int8", False)]


def outcome(key: Key, attempt: AttemptRecord, **changes: Any) -> Outcome:
    """That of a run of one attempt a question."""
    return Outcome(key=key, run="x", seed=0, reference="1", attempts=(attempt,), chosen=0, **changes)


def test_a_log_gets_a_line_now_and_then(capsys):
    seconds = itertools.count(0.0, 12.0)
    progress = EvaluationProgress(quiet=False, clock=lambda: next(seconds))
    keys = [Key("sums", "boxed", "psrm", number) for number in range(6)]
    drafts = [AttemptRecord(attempt=0, answer="1", right=right) for right in (True, False)]
    outcomes = [outcome(key, drafts[key.problem % 2], seconds=60) for key in keys]
    with progress:
        progress.on_plan([Task(key, Problem("sums", key.problem, "?", "1")) for key in keys], outcomes[:1])
        for one in outcomes[1:]:
            progress.on_outcome(one)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "1 of 6 answers were there already; 5 left to do"
    assert said[1:] == ["4 of 6 answers, about 0 min left; sums boxed psrm: 2 of 4 right (oracle)"]


def test_the_last_line_says_how_many_ended_in_an_error():
    progress = EvaluationProgress(quiet=True)
    keys = [Key("sums", "boxed", "steps", number) for number in range(4)]
    written = AttemptRecord(attempt=0, answer="1", right=True)
    never = AttemptRecord(attempt=0, answer=None, right=False, finish_reason="error")
    endings = [
        (written, "passed"),
        (written, "error: NonFiniteError"),
        (never, None),
        (written, "iterations"),
    ]
    with progress:
        progress.on_plan([Task(key, Problem("sums", key.problem, "?", "1")) for key in keys], [])
        for key, (attempt, reason) in zip(keys, endings, strict=True):
            progress.on_outcome(outcome(key, attempt, stop_reason=reason))
    assert progress.lines() == ["sums boxed steps: 3 of 4 right, 2 ended in an error"]


def test_the_time_left_goes_by_method(capsys):
    seconds = itertools.count(0.0, 60.0)
    progress = EvaluationProgress(quiet=False, clock=lambda: next(seconds))
    keys = [Key("sums", "boxed", method, number) for method in ("cot", "psrm") for number in range(4)]
    written = AttemptRecord(attempt=0, answer="1", right=True)
    costs = [100] * 4 + [1000] * 4
    outcomes = [outcome(key, written, seconds=cost) for key, cost in zip(keys, costs, strict=True)]
    with progress:
        progress.on_plan([Task(key, Problem("sums", key.problem, "?", "1")) for key in keys], [])
        for one in outcomes[:5]:
            progress.on_outcome(one)
    said = [line.split("; ")[0] for line in capsys.readouterr().err.splitlines()]
    assert said[2] == "3 of 8 answers, more than 1 min left"  # psrm has not begun
    # 1400 s of work took 5 min; 3000 s are left.
    assert said[4] == "5 of 8 answers, about 11 min left"


def test_samples_that_were_taken_over_take_no_time(capsys):
    seconds = itertools.count(0.0, 60.0)
    progress = EvaluationProgress(quiet=False, clock=lambda: next(seconds))
    keys = [Key("sums", "boxed", "bon:3:steps", number) for number in range(9)]
    drawn = AttemptRecord(attempt=0, answer="1", right=True, policy_seconds=1000)
    with progress:
        progress.on_plan([Task(key, Problem("sums", key.problem, "?", "1")) for key in keys], [])
        for key, took in zip(keys[:5], (1000, 1000, 1, 1, 1), strict=True):
            progress.on_outcome(outcome(key, drawn, seconds=took))
    # 2003 s of work took 5 min; four more of 400 s are left.
    assert capsys.readouterr().err.splitlines()[-1].startswith("5 of 9 answers, about 4 min left")


def test_searches_under_way_are_signs_of_life(capsys):
    seconds = itertools.count(0.0, 60.0)
    progress = EvaluationProgress(quiet=False, clock=lambda: next(seconds))
    keys = [Key("sums", "boxed", "psrm", number) for number in range(3)]
    ended = AttemptRecord(attempt=0, answer="1", right=True)
    with progress:
        progress.on_plan([Task(key, Problem("sums", key.problem, "?", "1")) for key in keys], [])
        progress.on_attempt(keys[0], 1)
        progress.on_attempt(keys[1], 4)
        progress.on_outcome(Outcome(key=keys[0], run="x", seed=0, reference="1", attempts=(ended,), chosen=0))
    assert capsys.readouterr().err.splitlines() == [
        "0 of 3 answers; 1 under way, 1.0 attempts each",
        "0 of 3 answers; 2 under way, 2.5 attempts each",
        "1 of 3 answers; sums boxed psrm: 1 of 1 right (oracle); 1 under way, 4.0 attempts each",
    ]


def failing_after(passes, error, cause=None):
    """A forward pass that works so many times; the model is probed with the first few."""
    calls, forward = itertools.count(), PackedModel.forward

    def sometimes(self, store, rows):
        if next(calls) >= passes:
            raise error from cause
        return forward(self, store, rows)

    return sometimes


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 174.00 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 byte"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError("no more"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_too_little_memory_is_told_with_what_to_lower_and_nothing_is_lost(
    model, data, tmp_path, monkeypatch, error, wrapped
):
    arguments = ["eval", "--data", data, "--out", str(tmp_path / "run"), "--model", model, "--method", "cot"]
    arguments += ["--max-new-tokens", "8", "--batch", "1"]
    broken = (RuntimeError("the decoder failed"), error) if wrapped else (error,)
    with monkeypatch.context() as patched:
        patched.setattr(PackedModel, "forward", failing_after(15, *broken))
        failed = RUN.invoke(app, arguments)
    assert failed.exit_code == 3, failed.output
    assert "error: there is not enough memory" in failed.stderr
    assert "--rows" in failed.stderr
    done = len(read_outcomes(tmp_path / "run"))
    assert 0 < done < 3
    again = RUN.invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert f"{done} of 3 answers were there already" in again.stderr


def test_other_errors_are_not_taken_for_too_little_memory(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(PackedModel, "forward", failing_after(15, RuntimeError("a bug")))
    out = str(tmp_path / "run")
    failed = RUN.invoke(app, ["eval", "--data", data, "--out", out, "--model", model, "--method", "cot"])
    assert isinstance(failed.exception, RuntimeError)
    assert failed.exit_code == 1
