"""Problems: from files, from a library that stands where the hub's does, and what is refused."""

import json
import sys
import types

import pytest

from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.evaluation.runs.problems import Problem, load_problems


def write(tmp_path, *rows):
    file = tmp_path / "made_up.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return str(file)


def test_questions_and_answers_under_any_of_their_names(tmp_path):
    file = write(
        tmp_path,
        {"question": "1 + 1?", "answer": "1 + 1 = <<1+1=2>>2\n#### 2"},
        "",
        {"problem": "Half?", "answer": r"\frac{1}{2}"},
        {"question": "3?", "reference": 3, "answer": "not this"},
    )
    assert load_problems(file) == [
        Problem("made_up", 0, "1 + 1?", "2"),
        Problem("made_up", 1, "Half?", r"\frac{1}{2}"),
        Problem("made_up", 2, "3?", "3"),
    ]


def test_a_part_keeps_its_numbers(tmp_path):
    file = write(tmp_path, *({"question": f"{n}?", "answer": n} for n in range(5)))
    assert [problem.number for problem in load_problems(file, start=1, limit=2)] == [1, 2]
    assert [problem.number for problem in load_problems(file, start=4, limit=9)] == [4]
    with pytest.raises(InputError, match="no problem from place 5 on"):
        load_problems(file, start=5)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 1 is not JSON"),
        ([1], "made_up.jsonl, line 1 is no JSON object but list"),
        ({"answer": "1"}, 'has no text under "question"'),
        ({"question": " ", "answer": "1"}, "line 1: the question is empty"),
        ({"question": "1?"}, "has no answer"),
        ({"question": "1?", "answer": True}, "the reference must be text or a number, not bool"),
        ({"question": "1?", "answer": "#### "}, "is empty"),
    ],
)
def test_what_is_no_problem_is_named(tmp_path, row, message):
    with pytest.raises(InputError, match=message):
        load_problems(write(tmp_path, row))


def test_names_and_ranges_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"neither a JSON Lines file .* nor one of gsm8k"):
        load_problems("gsm9k")
    with pytest.raises(ConfigError, match="limit=0"):
        load_problems("gsm8k", limit=0)
    with pytest.raises(ConfigError, match="start=-1"):
        load_problems("gsm8k", start=-1)
    with pytest.raises(InputError, match=r"nowhere.jsonl cannot be read"):
        load_problems(str(tmp_path / "nowhere.jsonl"))


def test_names_of_the_hub_are_loaded_with_its_library(monkeypatch):
    asked = []

    def load_dataset(repository, configuration, *, split):
        asked.append((repository, configuration, split))
        if repository.endswith("aime_2024"):
            raise ConnectionError("no network")
        return [{"question": "1 + 1?", "answer": "#### 2"}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    assert load_problems("gsm8k") == [Problem("gsm8k", 0, "1 + 1?", "2")]
    assert asked == [("openai/gsm8k", "main", "test")]
    with pytest.raises(InputError, match=r"could not be loaded from the hub \(ConnectionError: no network\)"):
        load_problems("aime24")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="pip install datasets"):
        load_problems("gsm8k")
