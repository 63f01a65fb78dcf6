"""When two evaluations are one run: models, prompts, settings of earlier versions, and the code."""

import json
import re
import tomllib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine.machine import processor_kind
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.reports.analysis import read_run
from latentseek_agents.evaluation.reports.report import remarks, write_report
from latentseek_agents.evaluation.runs import identity
from latentseek_agents.evaluation.runs.folder import RunFolder, read_outcomes, read_settings, require_settings
from latentseek_agents.evaluation.runs.identity import (
    code_fingerprint,
    model_fingerprint,
    prompt_fingerprint,
    settings_without_model,
)
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer
from tests.support.evaluations import evaluate
from tests.support.made_up_runs import attempt, outcome, write_run

ROOT = Path(__file__).resolve().parents[3]
CONFIG = LatentSeekConfig(max_new_tokens=4)
PROBLEMS = [Problem("made up", number, f"What is {number} + 1?", str(number + 1)) for number in range(2)]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def with_template(model, template):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return Backbone.from_model(model, tokenizer)


def claimed(folder, settings):
    """The fingerprint of a run with these settings."""
    with RunFolder(folder, settings) as run:
        return run.fingerprint


def stored(folder, **changes):
    """Change a folder's run.json; None takes a setting away."""
    target = folder / "run.json"
    settings = json.loads(target.read_text()) | changes
    target.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))


def test_the_fingerprint_tells_models_apart():
    prints = {model_fingerprint(tiny_backbone(seed=seed)) for seed in (0, 0, 1)}
    assert len(prints) == 2


def test_the_same_weights_in_another_place_are_the_same_run(model, tmp_path):
    for number, name in enumerate(["/models/here", "/mnt/there"]):
        moved = Backbone(model, tiny_tokenizer(), name=name)
        evaluate(moved, PROBLEMS[: number + 1], methods=["cot"], out=tmp_path, config=CONFIG)
    assert len(read_outcomes(tmp_path)) == 2
    assert read_settings(tmp_path)["model"] == "/models/here"
    assert read_run(tmp_path).name == "/models/here"


def test_other_weights_of_the_same_name_are_another_run(tmp_path):
    for seed in (0, 1):
        backbone = Backbone(tiny_model(seed=seed), tiny_tokenizer(), name="the same")
        if seed == 0:
            evaluate(backbone, PROBLEMS, methods=["cot"], out=tmp_path, config=CONFIG)
            continue
        with pytest.raises(InputError, match=r"another run \(model_hash: '.*' there, '.*' here\)"):
            evaluate(backbone, PROBLEMS, methods=["cot"], out=tmp_path, config=CONFIG)


def test_int8_is_another_run_than_float32(model, tmp_path):
    """Either way round; and each goes on with itself."""
    for first, second in (("int8", None), (None, "int8")):
        folder = tmp_path / str(first)
        chosen, other = (Backbone.from_model(model, tiny_tokenizer(), dtype=one) for one in (first, second))
        evaluate(chosen, PROBLEMS[:1], methods=["cot"], out=folder, config=CONFIG)
        assert read_settings(folder)["dtype"] == (first or "float32")
        with pytest.raises(InputError, match=r"another run \(.*dtype: '\w+' there, '\w+' here"):
            evaluate(other, PROBLEMS, methods=["cot"], out=folder, config=CONFIG)
        evaluate(chosen, PROBLEMS, methods=["cot"], out=folder, config=CONFIG)
        assert len(read_outcomes(folder)) == 2


def test_the_fingerprint_tells_int8_models_apart(model):
    def printed(model, dtype="int8"):
        return model_fingerprint(Backbone.from_model(model, tiny_tokenizer(), dtype=dtype))

    other = tiny_model()
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight.mul_(1.01)
    assert printed(model) == printed(tiny_model())
    assert len({printed(model), printed(model, None), printed(other)}) == 3


def test_another_chat_template_is_another_run(model, tmp_path):
    evaluate(with_template(model, TEMPLATE), PROBLEMS[:1], methods=["cot"], out=tmp_path, config=CONFIG)
    other = with_template(model, TEMPLATE.replace("<|im_start|>", "<|im_start|>PIRATE "))
    with pytest.raises(InputError, match=r"another run \(prompt_hash: '.*' there, '.*' here\)"):
        evaluate(other, PROBLEMS, methods=["cot"], out=tmp_path, config=CONFIG)
    assert len(read_outcomes(tmp_path)) == 1


def test_tokens_templates_and_ends_are_in_the_hash_of_prompts(model, monkeypatch):
    plain = with_template(model, TEMPLATE)
    same = with_template(model, f"{{# a comment #}}{TEMPLATE}")
    assert prompt_fingerprint(plain) == prompt_fingerprint(same)
    ended = with_template(model, TEMPLATE)
    ended.eos_token_ids = frozenset({0, 2})
    shifted = with_template(model, TEMPLATE)
    monkeypatch.setattr(shifted, "encode_prompt", lambda *given, **named: [1, 2, 3])
    found = {prompt_fingerprint(one) for one in (plain, ended, shifted, tiny_backbone(chat=False))}
    assert len(found) == 4


@pytest.mark.parametrize("role", ["system", "user"])
def test_what_only_one_prompt_shows_is_in_the_hash(model, role, monkeypatch):
    """The words of either prompt, as a version of this package may change them."""
    plain = with_template(model, TEMPLATE)
    before = prompt_fingerprint(plain)

    def reworded(question: str, prompt: Any) -> list[dict[str, str]]:
        messages: Any = prompt_for(question, prompt)
        changed = [dict(message) for message in messages]
        for message in changed:
            if (message["role"], prompt) == (role, "json"):
                message["content"] += "!"
        return changed

    monkeypatch.setattr(identity, "prompt_for", reworded)
    assert prompt_fingerprint(plain) != before


def test_a_day_later_it_is_the_same_run(model, monkeypatch):
    backbone = with_template(model, "Today is {{ strftime_now('%d %b %Y') }}. " + TEMPLATE)
    shown = backbone.decode(backbone.encode_prompt("x"))
    assert re.search(r"Today is \d\d \w+ \d{4}\.", shown)
    first = prompt_fingerprint(backbone)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2099, 1, 1)

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Tomorrow)
    assert "01 Jan 2099" in backbone.decode(backbone.encode_prompt("x"))
    assert prompt_fingerprint(backbone) == first
    assert prompt_fingerprint(with_template(model, TEMPLATE)) != first


def test_a_model_without_room_for_a_prompt_has_a_hash():
    assert prompt_fingerprint(tiny_backbone(max_position_embeddings=16)) == prompt_fingerprint(
        tiny_backbone(max_position_embeddings=8)
    )


def test_a_run_of_a_later_version_is_left_alone(tmp_path):
    first = claimed(tmp_path, {"seed": 0, "config": {"depth": 1}})
    assert claimed(tmp_path, {"seed": 0, "config": {"depth": 1}}) == first
    with pytest.raises(InputError, match=r"another run \(config.depth: 1 there, None here\)"):
        claimed(tmp_path, {"seed": 0})
    require_settings(tmp_path, {"seed": 0})  # a part of the settings


def test_a_folder_of_other_settings_is_known_before_a_model_is(tmp_path):
    wanted = settings_without_model(CONFIG, temperature=0.8)
    require_settings(tmp_path, wanted)  # holds no run
    claimed(tmp_path, {"model": "a", "model_hash": "b", **wanted})
    require_settings(tmp_path, wanted)
    with pytest.raises(InputError, match=r"holds another run \(temperature: 0.8 there, 0.1 here\)"):
        require_settings(tmp_path, settings_without_model(CONFIG, temperature=0.1))


def test_a_run_json_without_a_fingerprint_is_none_of_ours(tmp_path):
    claimed(tmp_path, {})
    stored(tmp_path, run=None)
    with pytest.raises(InputError, match=r"is not the run.json of an evaluation"):
        read_settings(tmp_path)


def test_every_package_is_in_the_hash_of_the_code():
    """The links of a checkout are followed, and what lies elsewhere is left alone."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    names = {name for name, _ in identity._sources(ROOT / "latentseek_agents")}
    folders = {".".join(Path("latentseek_agents", name).parent.parts) for name in names}
    assert folders == set(packages)
    assert {"graphs/refine.py", "tools/steps.py", "evaluation/runs/run.py"} <= names


def test_the_hash_of_the_code_is_that_of_its_contents(tmp_path, monkeypatch):
    def hashed(folder, content, name="a.py"):
        target = tmp_path / folder / "below" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        monkeypatch.setattr("latentseek_agents.__file__", str(tmp_path / folder / "__init__.py"))
        return code_fingerprint()

    one = hashed("one", b"x = 1\n")
    assert one == hashed("two", b"x = 1\n") == hashed("windows", b"x = 1\r\n")
    assert len({one, hashed("three", b"x = 2\n"), hashed("four", b"x = 1\n", "b.py")}) == 3
    assert hashed("one", b"compiled", "a.pyc") == one
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("latentseek_agents.__file__", str(tmp_path / "empty" / "__init__.py"))
    assert code_fingerprint() is None


def test_results_state_which_code_made_them(model, tmp_path, monkeypatch):
    backbone = Backbone.from_model(model, tiny_tokenizer())
    evaluate(backbone, PROBLEMS[:1], methods=["cot"], out=tmp_path, config=CONFIG)
    assert [one.code for one in read_outcomes(tmp_path)] == [code_fingerprint()]
    assert remarks(read_run(tmp_path)) == cut_off(1)
    monkeypatch.setattr("latentseek_agents.evaluation.runs.run.code_fingerprint", lambda: "changed")
    evaluate(backbone, PROBLEMS, methods=["cot"], out=tmp_path, config=CONFIG)
    assert read_run(tmp_path).codes == {code_fingerprint(): 1, "changed": 1}


def test_results_state_which_kind_of_processor_made_them(model, tmp_path, monkeypatch):
    backbone = Backbone.from_model(model, tiny_tokenizer())
    evaluate(backbone, PROBLEMS[:1], methods=["cot"], out=tmp_path, config=CONFIG)
    monkeypatch.setattr(
        "latentseek_agents.evaluation.runs.run.processor_kind", lambda device: f"new {device}"
    )
    evaluate(backbone, PROBLEMS, methods=["cot"], out=tmp_path, config=CONFIG)
    run = read_run(tmp_path)
    here = processor_kind("cpu")
    assert run.processors == {here: 1, "new cpu": 1}
    told = f"2 kinds of processors made these results (1 on {here}; 1 on new cpu); they round otherwise"
    assert [line for line in remarks(run) if line.startswith(told)]


@pytest.mark.parametrize("kinds", [[None, None], ["a", "a"], [None, "a"]])
def test_a_report_is_silent_on_one_kind_of_processor(tmp_path, kinds):
    made = [
        replace(outcome("cot", number, [attempt(0, "4", True)]), processor=kind)
        for number, kind in enumerate(kinds)
    ]
    assert remarks(read_run(write_run(tmp_path / "run", made))) == []


@pytest.mark.parametrize(
    ("int8", "bfloat16", "kind"),
    [
        (False, False, " with AVX2"),
        (True, False, " with AVX2, int8"),
        (True, True, " with AVX2, int8, bfloat16"),
    ],
)
def test_a_processor_is_known_by_the_instructions_that_are_used(monkeypatch, int8, bfloat16, kind):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr("latentseek_agents.engine._int8.fast_int8", lambda: int8)
    monkeypatch.setattr("latentseek_agents.engine._cpu_kernels.native_bfloat16", lambda: bfloat16)
    assert processor_kind("cpu").endswith(kind)
    assert processor_kind("mps") == "mps"
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a card")
    assert processor_kind("cuda") == "a card"


def cut_off(count):
    """What there is to say of a tiny model's four tokens."""
    cut = f"made up · boxed: cot: {count} of {count} answers ran into the limit of tokens; "
    return [f"{cut}a larger max_new_tokens lets them end"]


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        (["a", "a", "a"], []),
        (
            ["a", "b", "b"],
            ["2 versions of the code made these 3 results (1 by a, 2 by b); methods may differ"],
        ),
        (["a", "a", None], ["1 of 3 results do not state which version of the code made them"]),
        ([None, None, None], ["3 of 3 results do not state which version of the code made them"]),
        (
            ["a", None, "b"],
            ["2 versions of the code made these 3 results (1 by a, 1 by b)", "1 of 3 results do"],
        ),
    ],
)
def test_a_report_says_if_several_versions_made_it(tmp_path, codes, told):
    made = [
        replace(outcome("cot", number, [attempt(0, "4", True)]), code=code)
        for number, code in enumerate(codes)
    ]
    run = read_run(write_run(tmp_path / "run", made))
    found = remarks(run)
    assert len(found) == len(told)
    assert all(line.startswith(start) for line, start in zip(found, told, strict=True))
    write_report([run], tmp_path / "out")
    for name in ("report.md", "report.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8").replace("\\", "")
        assert all(start in text for start in told)
        assert ("version" in text) is bool(told)
