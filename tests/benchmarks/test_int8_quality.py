"""The comparison of int8 with float32: its sums against plain ones, and answers that a later call adds to."""

import argparse
import json
import math
import sys
from pathlib import Path

import pytest
import torch

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.testing import tiny_backbone

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import int8_quality
from int8_quality import Answer, compare, given_tokens, int8_of, read_answers, write_answers

CONFIG = LatentSeekConfig(fraction=0.5)
PROMPT, SOLUTION = [5, 6, 7, 8], [9, 10, 11, 12, 13, 14]
QUESTIONS = [{"question": f"What is {n} + 2?", "answer": f"#### {n + 2}"} for n in range(5)]


def arguments(folder: Path, **changes: object) -> argparse.Namespace:
    given = {"out": folder, "max_new_tokens": 6, "rows": 2, "deadline": math.inf}
    return argparse.Namespace(**(given | changes))


def test_a_backbone_does_not_differ_from_itself():
    backbone = tiny_backbone()
    found = compare(backbone, backbone, PROMPT, SOLUTION, CONFIG)
    assert found.divergences == [0.0] * len(SOLUTION)
    cosines = [found.gradient_cosine, found.own_gradient_cosine, found.step_cosine]
    assert [found.same_choices, *cosines] == pytest.approx([1.0] * 4)


def test_divergences_are_those_of_the_models_own_probabilities(monkeypatch):
    monkeypatch.setattr(int8_quality, "_ROWS_AT_ONCE", 4)  # so that the parts are joined, too
    precise = tiny_backbone()
    other = int8_of(precise, float_head=False)
    ids = torch.tensor([[*PROMPT, *SOLUTION]])
    start, end = len(PROMPT) - 1, ids.shape[1] - 1
    with torch.no_grad():
        p, q = (model(ids).logits[0, start:end].softmax(-1) for model in (precise.model, other.model))
    expected = [
        sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(*rows, strict=True))
        for rows in zip(p, q, strict=True)
    ]
    found = compare(precise, other, PROMPT, SOLUTION, CONFIG)
    assert found.divergences == pytest.approx(expected, abs=1e-6)
    assert max(expected) > 1e-6  # the two do differ
    assert 0.9 < found.own_gradient_cosine < 1
    assert found.same_choices == float((p.argmax(-1) == q.argmax(-1)).double().mean())


def test_the_float_head_is_that_of_float32_and_the_layers_are_int8():
    precise = tiny_backbone()
    other = int8_of(precise, float_head=True)
    hidden = given_tokens(precise, PROMPT, SOLUTION)
    assert torch.equal(other.logits(hidden), precise.logits(hidden))
    assert not torch.equal(given_tokens(other, PROMPT, SOLUTION), hidden)
    assert precise.number_format == "float32"


def test_states_are_those_that_predict_the_solution():
    backbone = tiny_backbone()
    hidden = given_tokens(backbone, PROMPT, SOLUTION)
    ids = torch.tensor([[*PROMPT, *SOLUTION]])
    expected = backbone.model.base_model(ids).last_hidden_state[0, len(PROMPT) - 1 : -1]
    assert torch.allclose(hidden, expected, atol=1e-5)


def test_a_later_call_answers_what_is_left(tmp_path):
    backbone = tiny_backbone()
    assert not write_answers(backbone, "float32", QUESTIONS, arguments(tmp_path, deadline=0.0))
    assert write_answers(backbone, "float32", QUESTIONS[:3], arguments(tmp_path))
    before = read_answers(tmp_path / "answers.jsonl")
    with (tmp_path / "answers.jsonl").open("a") as lines:
        lines.write('{"weights": "float32", "num')  # a call that was killed while it wrote
    assert write_answers(backbone, "float32", QUESTIONS, arguments(tmp_path))
    after = read_answers(tmp_path / "answers.jsonl")
    assert after[:3] == before
    assert sorted(answer.number for answer in after) == list(range(5))
    assert write_answers(backbone, "int8", QUESTIONS, arguments(tmp_path))
    assert len(read_answers(tmp_path / "answers.jsonl")) == 10


def test_answers_are_paired_by_question():
    def made(weights: str, number: int, right: bool | None) -> Answer:
        return Answer(weights, number, [number], "", right, "stop")

    precise = [made("float32", n, right) for n, right in enumerate([True, True, False, None, True])]
    other = [made("int8", n, right) for n, right in enumerate([True, False, True, True])]
    table = int8_quality.answers_table([*precise, *other])
    assert [list(column.cells)[1] for column in table.columns] == ["int8", "4", "3", "1", "2", "1.00", "4"]


def test_the_script_runs_on_the_tiny_model(tmp_path, monkeypatch, capsys):
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, QUESTIONS)) + "\n")
    monkeypatch.setattr(Backbone, "embedded", lambda **_: tiny_backbone())
    options = ["--data", str(data), "--out", str(tmp_path / "run"), "--max-new-tokens", "5"]
    options += ["--questions", "3", "--solutions", "2"]
    monkeypatch.setattr(sys, "argv", ["int8_quality.py", *options])
    assert int8_quality.main() == 0
    assert "KL(float32 || int8)" in capsys.readouterr().out
    lines = (tmp_path / "run" / "differences-int8-head.jsonl").read_text().splitlines()
    assert len(lines) == 2
