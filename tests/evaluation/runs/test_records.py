"""A run's folder: what is written and read back, whatever was killed, copied or half written."""

import errno
import gzip
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest

from latentseek_agents import LatentSeekConfig
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.reports.analysis import read_run
from latentseek_agents.evaluation.runs import folder as folder_module
from latentseek_agents.evaluation.runs.folder import RunFolder, read_outcomes
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import AttemptRecord, Key, Outcome
from latentseek_agents.evaluation.runs.run import Worker
from latentseek_agents.testing import tiny_backbone
from tests.support.evaluations import evaluate
from tests.support.made_up_runs import attempt, outcome, write_run

CONFIG = LatentSeekConfig(max_new_tokens=4, max_iterations=1, fraction=0.5)
PROBLEMS = [Problem("made up", number, f"What is {number} + 1?", str(number + 1)) for number in range(3)]


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


def outcome_of(folder: RunFolder, number: int, **changes: Any) -> Outcome:
    made = AttemptRecord(attempt=0, answer="1", right=True, text="line\u2028break\n")
    key = Key("data", "boxed", "cot", number)
    plain = Outcome(key=key, run=folder.fingerprint, seed=1, reference="1", attempts=(made,), chosen=0)
    return replace(plain, **changes)


def test_all_that_an_outcome_says_is_read_back(tmp_path):
    with RunFolder(tmp_path, {}) as folder:
        said = outcome_of(folder, 0, digest="d", seconds=1.5, code="c", processor="p", stop_reason="passed")
        folder.append(said)
    assert read_outcomes(tmp_path) == [said]


def test_two_writers_of_one_shard_are_refused(tmp_path):
    with RunFolder(tmp_path, {"a": 1}), pytest.raises(InputError, match="another process is writing"):
        RunFolder(tmp_path, {"a": 1})
    RunFolder(tmp_path, {"a": 1}).close()


def test_a_folder_may_be_taken_before_it_is_known_what_is_run(tmp_path):
    with RunFolder(tmp_path, None) as folder:
        with pytest.raises(InputError, match="another process is writing"):
            RunFolder(tmp_path, {"seed": 0})
        folder.claim({"seed": 0})
        with pytest.raises(InputError, match="another run"):
            folder.claim({"seed": 1})


@pytest.mark.parametrize("lost", [1, 40, 150, 400])
def test_what_was_half_written_is_cut_off_and_done_again(tmp_path, lost):
    with RunFolder(tmp_path, {}) as folder:
        first, second = outcome_of(folder, 0), outcome_of(folder, 1)
        folder.append(first)
        folder.append(second)
    file = tmp_path / "attempts-0-of-1.jsonl"
    file.write_bytes(file.read_bytes()[:-lost])
    assert read_outcomes(tmp_path) == [first]
    with RunFolder(tmp_path, {}) as folder:
        assert read_outcomes(tmp_path) == [first]
        folder.append(second)
    assert read_outcomes(tmp_path) == [first, second]


def test_the_same_outcome_of_two_processes_counts_once(tmp_path):
    for writer in ("0-of-1", "0-of-2"):
        with RunFolder(tmp_path, {}, writer) as folder:
            folder.append(outcome_of(folder, 0))
    assert read_outcomes(tmp_path) == [outcome_of(folder, 0)]


def test_complete_files_may_be_compressed(backbone, tmp_path):
    evaluate(backbone, PROBLEMS, methods=["cot"], out=tmp_path, config=CONFIG)
    outcomes = read_outcomes(tmp_path)
    plain = tmp_path / "attempts-0-of-1.jsonl"
    with gzip.open(tmp_path / "attempts.jsonl.gz", "wb") as file:
        file.write(plain.read_bytes())
    plain.unlink()
    assert read_outcomes(tmp_path) == outcomes
    evaluate(backbone, PROBLEMS, methods=["cot", "sc:2"], out=tmp_path, config=CONFIG)
    assert [one.key.method for one in read_outcomes(tmp_path)] == ["cot"] * 3 + ["sc:2"] * 3
    assert len(plain.read_text().splitlines()) == 3


def test_a_strange_line_is_named(tmp_path):
    with RunFolder(tmp_path, {}) as folder:
        folder.append(outcome_of(folder, 0))
    with (tmp_path / "attempts-0-of-1.jsonl").open("a") as file:
        file.write('{"kind": "attempt"}\n')
    with pytest.raises(InputError, match=r"attempts-0-of-1.jsonl, line 2 is no line of an evaluation"):
        read_outcomes(tmp_path)
    with pytest.raises(InputError, match=r"no run.json"):
        read_outcomes(tmp_path / "nowhere")


# Lines of other runs, and of other questions.


def test_lines_of_another_run_are_not_counted(tmp_path):
    with RunFolder(tmp_path / "one", {"seed": 0}) as one:
        one.append(outcome_of(one, 0))
    with RunFolder(tmp_path / "two", {"seed": 1}, "1-of-2") as two:
        two.append(outcome_of(two, 1))
    file = two.path / "attempts-1-of-2.jsonl"
    file.rename(one.path / file.name)
    with pytest.raises(InputError) as refused:
        read_run(one.path)
    message = str(refused.value)
    assert f"{one.path / file.name}, line 1 is of run '{two.fingerprint}'" in message
    assert f"is of run '{one.fingerprint}'; move the file" in message
    (one.path / file.name).rename(file)
    assert len(read_outcomes(one.path)) == len(read_outcomes(two.path)) == 1


def test_an_outcome_of_another_run_is_not_written(tmp_path):
    with RunFolder(tmp_path, {}) as folder:
        with pytest.raises(InputError, match="of run 'another' is no part of run"):
            folder.append(outcome_of(folder, 0, run="another"))
        folder.append(outcome_of(folder, 0))
    assert len(read_outcomes(tmp_path)) == 1


@pytest.mark.parametrize("change", [{"question": "Name a colour."}, {"reference": "1001"}])
@pytest.mark.parametrize("second", [{"methods": ["sc:2"]}, {"methods": ["cot"], "prompts": ["json"]}])
def test_other_questions_of_the_same_numbers_are_refused_before_any_work(
    backbone, tmp_path, monkeypatch, change, second
):
    evaluate(backbone, PROBLEMS, methods=["cot"], out=tmp_path, config=CONFIG)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*.json*")}
    monkeypatch.setattr(Worker, "perform", None)  # whoever works fails
    others = [replace(problem, **change) for problem in PROBLEMS]
    with pytest.raises(InputError, match=r"has results of another problem 0 of 'made up'; use the file"):
        evaluate(backbone, others, **second, out=tmp_path, config=CONFIG)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.json*")} == before


def test_other_questions_of_other_numbers_are_welcome(backbone, tmp_path):
    evaluate(backbone, PROBLEMS[:2], methods=["cot"], out=tmp_path, config=CONFIG)
    evaluate(backbone, PROBLEMS[2:], methods=["sc:2"], out=tmp_path, config=CONFIG)
    assert [outcome.key.problem for outcome in read_outcomes(tmp_path)] == [0, 1, 2]


def mixed(*second: Outcome) -> list[Outcome]:
    first = replace(outcome("cot", 0, [attempt(0, "4", True)]), digest="one")
    return [first, *second]


@pytest.mark.parametrize(
    "other",
    [
        {"digest": "another"},
        {"reference": "5"},
        {"key": Key("sums", "json", "cot", 0), "digest": "another"},
        {"key": Key("sums", "boxed", "cot", 0), "digest": "another"},
    ],
)
def test_different_questions_in_one_folder_are_not_paired(tmp_path, other):
    made = outcome("sc:2", 0, [attempt(0, "4", True), attempt(1, "4", True)])
    second = replace(made, **({"digest": "one"} | other))
    run = write_run(tmp_path, mixed(second))
    with pytest.raises(InputError, match=r"worked on another problem 0 of 'sums' than other methods in"):
        read_run(run)


# What cannot be written.

FULL_DISK = """
import resource, sys
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.runs.folder import RunFolder, read_outcomes
from latentseek_agents.evaluation.runs.records import AttemptRecord, Key, Outcome

def outcome(folder, number, size):
    made = AttemptRecord(attempt=0, answer="1", right=True, text="x" * size)
    return Outcome(key=Key("d", "boxed", "cot", number), run=folder.fingerprint, seed=0, reference="1",
                   attempts=(made,), chosen=0)

with RunFolder(sys.argv[1], {}) as folder:
    folder.append(outcome(folder, 0, 100))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        folder.append(outcome(folder, 1, 20_000))
    except InputError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder.append(outcome(folder, 2, 100))
print([one.key.problem for one in read_outcomes(sys.argv[1])])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of that kind")
def test_a_full_disk_leaves_no_half_line(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    told, found = run.stdout.splitlines()
    assert "attempts-0-of-1.jsonl cannot be written: [Errno 27]" in told
    assert "make room or mend what is wrong, and call again" in told
    assert found == "[0, 2]"


def half_written(monkeypatch: pytest.MonkeyPatch, fails: int, error: BaseException) -> None:
    """The writing of that number, counted from 0, breaks off in the middle."""
    whole, count = folder_module._write_whole, iter(range(1000))

    def write(file, content):
        if next(count) == fails:
            file.write(content[: len(content) // 2])
            raise error
        whole(file, content)

    monkeypatch.setattr(folder_module, "_write_whole", write)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_breaks_off_in_an_evaluation_is_done_again(backbone, tmp_path, monkeypatch, error):
    methods = ["cot", "sc:2", "psrm"]
    with monkeypatch.context() as patch:
        half_written(patch, 3, error)
        expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            evaluate(backbone, PROBLEMS, methods=methods, out=tmp_path, config=CONFIG, batch=2)
    kept = read_outcomes(tmp_path)
    assert 3 <= len(kept) < 9  # the lost one, and those that were not begun
    seen: list[Outcome] = []
    evaluate(
        backbone, PROBLEMS, methods=methods, out=tmp_path, config=CONFIG, batch=2, on_outcome=seen.append
    )
    assert {one.key for one in seen}.isdisjoint(one.key for one in kept)
    assert len(read_outcomes(tmp_path)) == len(seen) + len(kept) == 9


def test_the_error_that_ended_a_run_is_the_one_that_is_told(backbone, tmp_path, monkeypatch, caplog):
    """And not that the disk was full when the others were to be kept, too."""
    all_done = threading.Barrier(len(PROBLEMS))

    perform = Worker.perform

    def performed(*arguments):
        outcome = perform(*arguments)
        all_done.wait(60)
        return outcome

    def fill_the_disk(_):
        half_written(monkeypatch, 0, OSError(errno.ENOSPC, "No space left on device"))
        raise ZeroDivisionError

    monkeypatch.setattr(Worker, "perform", performed)
    with pytest.raises(ZeroDivisionError):
        evaluate(
            backbone,
            PROBLEMS,
            methods=["cot"],
            out=tmp_path,
            config=CONFIG,
            batch=len(PROBLEMS),
            on_outcome=fill_the_disk,
        )
    assert "is lost: " in caplog.text
    assert "No space left" in caplog.text
    assert (
        len(read_outcomes(tmp_path)) == len(PROBLEMS) - 1
    )  # that writing fails, and the one after it does not


def test_behind_half_a_line_that_cannot_be_cut_off_nothing_is_written(tmp_path, monkeypatch):
    with RunFolder(tmp_path, {}) as folder:
        folder.append(outcome_of(folder, 0))

        class Stuck(type(folder._file)):  # type: ignore[misc]
            def truncate(self, size=None):
                raise OSError(errno.EIO, "Input/output error")

        folder._file.close()
        folder._file = Stuck(tmp_path / "attempts-0-of-1.jsonl", "ab")
        with monkeypatch.context() as patch:
            half_written(patch, 0, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(InputError, match=r"cannot be written: .*No space left"):
                folder.append(outcome_of(folder, 1))
        size = (tmp_path / "attempts-0-of-1.jsonl").stat().st_size
        for _ in range(2):
            with pytest.raises(
                InputError, match=r"ends in half a line .*No space left.* could not be cut off"
            ):
                folder.append(outcome_of(folder, 2))
        assert (tmp_path / "attempts-0-of-1.jsonl").stat().st_size == size
        assert read_outcomes(tmp_path) == [outcome_of(folder, 0)]
    with RunFolder(tmp_path, {}) as folder:
        folder.append(outcome_of(folder, 1))
    assert read_outcomes(tmp_path) == [outcome_of(folder, 0), outcome_of(folder, 1)]
