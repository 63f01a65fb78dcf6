"""A run's folder: what is written and read back, whatever was killed, copied or half written."""

from dataclasses import replace
from typing import Any

import pytest

from latentseek_agents.engine.errors import InputError
from latentseek_agents.evaluation.records import AttemptRecord, Key, Outcome, RunFolder, read_outcomes


def outcome_of(folder: RunFolder, number: int, **changes: Any) -> Outcome:
    made = AttemptRecord(attempt=0, answer="1", right=True, text="line\u2028break\n")
    key = Key("data", "boxed", "cot", number)
    plain = Outcome(key=key, run=folder.fingerprint, seed=1, reference="1", attempts=(made,), chosen=0)
    return replace(plain, **changes)


@pytest.mark.parametrize("missing", ['"digest": null', '"seconds": null', '"code": null', '"samples": 1'])
def test_lines_of_earlier_versions_are_read(tmp_path, missing):
    with RunFolder(tmp_path, {}) as folder:
        folder.append(outcome_of(folder, 0))
    file = tmp_path / "attempts-0-of-1.jsonl"
    assert f", {missing}" in file.read_text()
    file.write_text(file.read_text().replace(f", {missing}", ""))
    assert read_outcomes(tmp_path) == [outcome_of(folder, 0)]


def test_all_that_an_outcome_says_is_read_back(tmp_path):
    with RunFolder(tmp_path, {}) as folder:
        said = outcome_of(folder, 0, digest="d", seconds=1.5, code="c", stop_reason="passed")
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


def test_a_strange_line_is_named(tmp_path):
    with RunFolder(tmp_path, {}) as folder:
        folder.append(outcome_of(folder, 0))
    with (tmp_path / "attempts-0-of-1.jsonl").open("a") as file:
        file.write('{"kind": "attempt"}\n')
    with pytest.raises(InputError, match=r"attempts-0-of-1.jsonl, line 3 is no line of an evaluation"):
        read_outcomes(tmp_path)
    with pytest.raises(InputError, match=r"no run.json"):
        read_outcomes(tmp_path / "nowhere")
