"""The command line on a tiny random model: exit codes, machine-readable output, hostile text."""

import json
import os
import re
import subprocess
import sys
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

from latentseek_agents import Backbone
from latentseek_agents.cli import app, demo, solve
from latentseek_agents.cli.display import print_labelled
from latentseek_agents.cli.questions import Question, read_questions
from latentseek_agents.cli.wording import latents_text, solution_text, without_repeats
from latentseek_agents.errors import BackboneError, InputError
from latentseek_agents.evaluation.text import one_line, plain
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_model, tiny_tokenizer
from latentseek_agents.tools import check_steps
from latentseek_agents.verdict import Prepared, Verdict

SHORT = ["--max-new-tokens", "8", "--fraction", "0.5", "--max-iterations", "2", "--set", "proposals=latents"]
HOSTILE = "[bold]What[/] is 2 + 2? [/nonsense] :smile: \x1b[31mred\x1b[0m \x1b]0;title\x07 \u202e"


class Command:
    """Runs the command on the tiny model with a scripted verifier."""

    def __init__(self, monkeypatch, tiny):
        self.verifier = ScriptedVerifier([-1.0, -0.5, 0.0])
        self.loaded: list[tuple] = []

        def load(model=None, **options):
            self.loaded.append((model, options))
            return tiny

        for module in (solve, demo):
            monkeypatch.setattr(module, "load_backbone", load)
            monkeypatch.setattr(module, "make_verifier", lambda names, backbone, config: self.verifier)

    def __call__(self, *arguments: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=input)


@pytest.fixture
def run(monkeypatch, tiny):
    return Command(monkeypatch, tiny)


def test_solve_shows_every_iteration_and_exits_0_when_verified(run):
    result = run("solve", "What is 2 + 2?", *SHORT)
    assert result.exit_code == 0, result.output
    for expected in (
        r"draft      not passed  answer .+  score -1\.00  [\d.]+ s",
        r"attempt 1  not passed  answer .+  score -0\.50  ",
        r"attempt 2  passed  answer .+  score 0\.00  ",
        r"Model      .+ \(float32, cpu\)",
        r"Search     a greedy draft, then at most 2 attempts from consistent latents",
        r"Checks     steps \(sums and programs",
    ):
        assert re.search(f"^{expected}", result.stdout, re.MULTILINE)
    assert "scripted score -0.5" in result.stdout
    assert "latent tokens changed" in result.stdout
    assert "Returned   attempt 2, since the verifier accepts it\n" in result.stdout
    assert "policy" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


def test_solve_exits_1_when_not_verified(run):
    run.verifier = ScriptedVerifier([-1.0])
    result = run("solve", "What is 2 + 2?", *SHORT)
    assert result.exit_code == 1
    why = "none passed and its score is the highest, the first of 3 equal"
    assert f"draft, since {why}; the search ended, since all attempts are spent" in result.stdout


def test_solve_says_why_an_unjudged_search_ends(run):
    run.verifier = lambda question, solution, *, reference=None: Verdict(-0.5, None, "nothing to check")
    result = run("solve", "What is 2 + 2?", *SHORT)
    assert result.exit_code == 1
    assert "not judged" in result.stdout
    assert "the verifier cannot judge the last attempt" in result.stdout
    result = run("solve", "What is 2 + 2?", "--preset", "plain", *SHORT)
    assert "the verifier cannot judge it" in result.stdout


VOTING = ["--preset", "agreement", "--max-new-tokens", "8", "--max-iterations", "2"]


@pytest.mark.parametrize("proposals", ["latents", "samples"])
def test_solve_shows_the_votes_and_why_the_search_stopped(run, monkeypatch, proposals):
    answers = iter(["8", "12", "12"])
    monkeypatch.setattr("latentseek_agents.loop.extract_answer", lambda text: next(answers))
    run.verifier = ScriptedVerifier([-0.97, -0.4, -0.1])
    result = run("solve", "What is 4 * 3?", "--set", f"proposals={proposals}", *VOTING)
    assert result.exit_code == 0, result.output
    for expected in (
        "until they agree (confidence 0.8)",
        "attempt 2  passed  answer 12",
        "votes      8 has 0.05\n",
        "votes      12 has 0.30, 8 has 0.05\n",
        "Votes      12 has 1.04  (attempt 1 0.30, attempt 2 0.74)",
        "           8 has 0.05  (draft 0.05)",
        "attempt 2, since its answer won the vote, with a weight",
        "with a weight of 1.04; the search ended, since the vote is decided",
    ):
        assert expected in result.stdout
    assert ("samples at temperature 0.8" in result.stdout) is (proposals == "samples")
    assert ("latent tokens changed" in result.stdout) is (proposals == "latents")


def test_solve_says_that_a_correction_is_ours(run):
    run.verifier = lambda question, solution, *, reference=None: Verdict(
        -0.97, False, "refuted", computed_answer="72"
    )
    result = run("solve", "What is 9 * 8?", *VOTING)
    assert "[Checked: the program above prints 72.] The answer is \\boxed{72}." in result.stdout
    said = "no solution states the answer that won the vote; we add it at the end of this one"
    assert f"draft, since {said}; the search ended, since all attempts" in result.stdout
    assert result.exit_code == 1, "nobody has verified it"


def test_json_is_one_object_and_nothing_else(run):
    run.verifier = ScriptedVerifier([0.0])
    result = run("solve", HOSTILE, "--json", *SHORT)
    assert result.exit_code == 0
    assert result.stderr == ""
    value = json.loads(result.stdout)
    assert value["passed"] is True
    assert value["stop_reason"] == "passed"
    assert value["question"] == HOSTILE
    assert len(value["iterations"]) == 1
    assert value["usage"]["policy_tokens"] > 0


def test_quiet_prints_only_the_answer(run, monkeypatch):
    monkeypatch.setattr("latentseek_agents.loop.extract_answer", lambda text: "4\n\x1b[31m2")
    result = run("solve", "What is 2 + 2?", "--quiet", *SHORT)
    assert result.exit_code == 0
    assert result.stdout == "4 2\n"
    assert result.stderr == ""


def test_quiet_says_on_standard_error_that_there_is_no_answer(run, monkeypatch):
    monkeypatch.setattr("latentseek_agents.loop.extract_answer", lambda text: None)
    result = run("solve", "What is 2 + 2?", "--quiet", *SHORT)
    assert result.stdout == "\n"
    assert "no final answer" in result.stderr


def test_trace_holds_every_iteration_and_the_result_and_is_appended_to(run, tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"type": "earlier"}\n', encoding="utf-8")
    run("solve", "What is 2 + 2?", "--trace", str(trace), "--json", *SHORT)
    lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert [line["type"] for line in lines] == [
        "earlier",
        *["latentseek_iteration"] * 3,
        "latentseek_result",
    ]
    assert [line["score"] for line in lines[1:4]] == [-1.0, -0.5, 0.0]
    assert lines[4]["question"] == "What is 2 + 2?"


def test_json_lines_file(run, tmp_path):
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"question": "What is 2 + 2?", "reference": 4}\n\n{"problem": "What is 3 + 3?", "answer": "6"}\n',
        encoding="utf-8-sig",
    )
    run.verifier = ScriptedVerifier([0.0])
    result = run("solve", str(file), "--json", "--verifier", "truth", *SHORT)
    assert result.exit_code == 0
    values = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(value["question"], value["reference"]) for value in values] == [
        ("What is 2 + 2?", "4"),
        ("What is 3 + 3?", "6"),
    ]


def test_many_questions_are_listed_and_counted(run):
    run.verifier = ScriptedVerifier([0.0, -1.0])
    lines = '{"question": "What is 2 + 2?"}\n{"question": "[red]What is 3 + 3?"}\n'
    result = run("solve", "-", *SHORT, input=lines)
    assert result.exit_code == 1
    assert "1 of 2 verified" in result.stdout
    assert "[red]What is 3 + 3?" in result.stdout


def test_one_question_that_cannot_be_worked_on_does_not_cost_the_others(run):
    run.verifier = ScriptedVerifier([0.0])
    lines = [json.dumps({"question": text}) for text in ("long " * 2000, "What is 2 + 2?")]
    result = run("solve", "-", "--json", *SHORT, input="\n".join(lines))
    assert result.exit_code == 2
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert "context window" in first["error"]
    assert second["passed"] is True
    assert "line 1" in result.stderr


def test_standard_input_is_one_question(run):
    result = run("solve", "-", "--json", *SHORT, input="Ann has 2 apples.\nHow many has she?\n")
    assert json.loads(result.stdout)["question"] == "Ann has 2 apples.\nHow many has she?"


def test_hostile_text_is_shown_as_text(run):
    run.verifier = lambda question, solution, *, reference=None: Verdict(-1.0, False, HOSTILE)
    result = run("solve", HOSTILE, *SHORT)
    assert result.exit_code == 1, result.output
    assert "[bold]What[/] is 2 + 2? [/nonsense] :smile: red" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (["   "], None, "the question is empty"),
        (["-"], "", "the question is empty"),
        (["-"], b"\xff\xfe2 + 2", "not UTF-8"),
        (["missing.jsonl"], None, "cannot read missing.jsonl: No such file"),
        (["-"], '{"question": "a"}\n{"question": }\n[1]\n', "line 2 is not JSON"),
        (["-"], '{"question": "a"}\n{"text": "b"}\n', 'line 2 has no text under "question"'),
        (["-"], '{"question": "a"}\n{"question": " "}\n', "line 2: the question is empty"),
        (["-"], '{"question": "a", "answer": [1]}\n{"question": "b"}\n', "line 1: the reference must be"),
        (["-"], '{"question": ' + "[" * 100_000 + "\n", "line 1 is not JSON"),
        (["-"], '{"question": "\\ud800"}', "no character"),
        (["x", "--verifier", "steps,oracle"], None, "'oracle' is no verifier"),
        (["x", "--verifier", ","], None, "is no verifier"),
        (["x", "--verifier", "truth"], None, "reference"),
        (["x", "--json", "--quiet"], None, "exclude each other"),
        (["x", "--latents", "wild"], None, "latents='wild'"),
        (["x", "--fraction", "0"], None, "fraction=0.0: Input should be greater than 0"),
        (["x", "--prompt", "xml"], None, "prompt='xml'"),
        (["x", "--preset", "gsm8k"], None, "as in --preset Qwen2.5-1.5B-Instruct:gsm8k"),
        (["x", "--preset", "SmolLM2:gsm8k"], None, "no preset for the model"),
        (["x", "--preset", "foo"], None, "no preset for the data set 'foo'; use gsm8k, math500 or aime24"),
        (["x", "--set", "fraction"], None, "write it as name=value"),
        (["x", "--set", "fraction=2"], None, "fraction=2"),
        (["x", "--set", "colour=red"], None, "there is no such setting"),
        (["x", "--set", "self=1"], None, "there is no such setting"),
        (["x", "--set", "reward=psrm", "--preset", "Qwen2-7B-Instruct:gsm8k"], None, "no such setting"),
        (
            ["x", "--model", "Qwen/Qwen2.5-7B-Instruct", "--preset", "piqa"],
            None,
            "no preset for the data set",
        ),
        (["x", "--trace", "/nowhere/trace.jsonl"], None, "cannot write the trace"),
        (["x", "--max-iterations", "many"], None, "valid integer"),
        ([], None, "Missing argument"),
    ],
)
def test_bad_input_exits_2_before_a_model_is_loaded(run, arguments, stdin, expected):
    result = run("solve", *arguments, input=stdin)
    assert result.exit_code == 2, result.output
    assert expected in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert run.loaded == []


def test_a_file_that_is_no_json_lines_is_not_taken_for_a_question(run, tmp_path):
    file = tmp_path / "question.txt"
    file.write_text("What is 2 + 2?", encoding="utf-8")
    result = run("solve", str(file))
    assert result.exit_code == 2
    assert "solve - <" in result.stderr


def test_a_model_that_cannot_be_loaded_exits_2(run, monkeypatch):
    def fail(model=None, **options):
        raise BackboneError(f"could not load {model!r}")

    monkeypatch.setattr(solve, "load_backbone", fail)
    result = run("solve", "What is 2 + 2?", "--model", "no/such")
    assert result.exit_code == 2
    assert result.stderr == "error: could not load 'no/such'\n"


def test_a_verifier_that_raises_is_a_short_warning(run):
    def broken(question, solution, *, reference=None):
        raise RuntimeError("out of order")

    run.verifier = broken
    result = run("solve", "What is 2 + 2?", *SHORT)
    assert result.exit_code == 1
    assert result.stderr.startswith("warning: the verifier raised")
    assert "out of order" in result.stdout
    assert "Traceback" not in result.output


def test_options_reach_the_model_and_the_preset_reaches_the_search(run):
    result = run(
        *("solve", "What is 2 + 2?", "--json", "--model", "Qwen/Qwen2.5-7B-Instruct", "--preset", "gsm8k"),
        *("--prompt", "json", "--dtype", "bfloat16", "--device", "cpu", "--max-new-tokens", "16"),
    )
    assert result.exit_code == 0, result.output
    (name, options), *_ = run.loaded
    assert name == "Qwen/Qwen2.5-7B-Instruct"
    assert options == {
        "gguf_file": None,
        "dtype": "bfloat16",
        "device": "cpu",
        "trust_remote_code": False,
        "fastest": True,
        "engine": None,
        "vllm_args": None,
    }


@pytest.mark.parametrize("arguments", [("solve", "What is 2 + 2?", *SHORT), ("demo",)])
def test_int8_that_nobody_asked_for_is_said(run, monkeypatch, arguments):
    monkeypatch.setattr(demo, "_SETTINGS", demo._SETTINGS | {"max_new_tokens": 8, "max_iterations": 1})
    line = "in int8, since this processor multiplies it fast; --dtype float32 for full precision"
    assert line not in run(*arguments).output
    int8 = Backbone.from_model(tiny_model(), tiny_tokenizer(), dtype="int8")
    for module in (solve, demo):
        monkeypatch.setattr(module, "load_backbone", lambda model=None, **options: int8)
    result = run(*arguments)
    assert line in result.output
    if arguments[0] == "solve":
        assert "(int8, cpu)" in result.output
        assert line not in run(*arguments, "--dtype", "int8").output


def test_every_setting_can_be_set_and_options_of_their_own_win(run):
    arguments = ["solve", "What is 2 + 2?", "--json", "--preset", "Qwen2.5-1.5B-Instruct:gsm8k"]
    arguments += ["--set", "max_new_tokens=8", "--set", "max_iterations=0", "--set", "seed=5", "--seed", "7"]
    result = run(*arguments, "--set", "prompt=json", "--set", "refine_unjudged=true")
    assert result.exit_code in (0, 1), result.output
    assert len(json.loads(result.stdout)["iterations"]) == 1


def test_demo_runs_and_exits_0_whatever_comes_out(run, monkeypatch):
    monkeypatch.setattr(demo, "_SETTINGS", demo._SETTINGS | {"max_new_tokens": 8, "max_iterations": 1})
    run.verifier = ScriptedVerifier([-1.0])
    result = run("demo")
    assert result.exit_code == 0, result.output
    assert "no benchmark" in result.stdout
    assert "Verified: 0, of which 0 right" in result.stdout


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("48/2 = 24, 48 + 24 = 72", 0, "ok: no equation is wrong"),
        ("48/2 = 24, 48 + 24 = 73 [/bold]", 1, "wrong: at least one"),
        ("It is nice here.", 1, "unverifiable: no equation"),
        ("missing.txt", 2, "there is no such file"),
        (" ", 2, "no text to check"),
        ("/", 2, "cannot read /"),
    ],
)
def test_verify_exit_codes(run, text, code, expected):
    result = run("verify", text)
    assert result.exit_code == code, result.output
    assert expected in result.output
    assert run.loaded == []


def test_verify_reads_files_and_standard_input_and_writes_json(run, tmp_path):
    file = tmp_path / "solution.txt"
    file.write_text("1/3 + 1/3 = 2/3\n2 + 2 = 5", encoding="utf-8")
    from_file = run("verify", str(file), "--json", "--question", "What is 1/3 + 1/3?")
    assert from_file.exit_code == 1
    value = json.loads(from_file.stdout)
    assert value["verdict"] == "wrong"
    assert [equation["status"] for equation in value["equations"]] == ["ok", "wrong"]
    assert value["equations"][0]["value"] == "2/3"
    from_stdin = run("verify", "-", "--json", input="2 + 2 = 4")
    assert from_stdin.exit_code == 0
    assert json.loads(from_stdin.stdout)["verdict"] == "ok"


def test_help_and_version_load_no_torch():
    code = (
        "import sys\nfrom latentseek_agents.cli import app\n"
        "for arguments in (['--help'], ['solve', '--help'], ['--version']):\n"
        "    app(arguments, standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'langgraph', 'sympy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "latentseek-agents 0." in done.stdout


def test_help_takes_less_than_half_a_second():
    code = "from latentseek_agents.cli import app\napp(['--help'])"
    before = os.times()
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = os.times()
    # Of the processor: a machine that is busy with something else must not fail the test.
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    assert spent / 3 < 0.5


@pytest.mark.parametrize(
    "text", [HOSTILE, "\x9b31mred", "a\rb", "\x1b", "\x1b]8;;http://x\x1b\\link", "\u2066x"]
)
def test_plain_text_holds_nothing_a_terminal_obeys(text):
    assert all(character.isprintable() for character in one_line(text))
    assert all(character.isprintable() or character == "\n" for character in plain(text))


def test_a_change_beyond_what_is_shown_is_shown():
    text = latents_text([f" {i}" for i in range(100)], [80], ("[", "]")).plain
    assert "[ 80]" in text
    assert text.startswith("1 of 100 latent tokens changed: …  72")


def test_an_attempt_that_ends_early_has_fewer_latents():
    text = latents_text(["4", "2"], [0, 2, 3], ("[", "]")).plain
    assert text == "1 of 2 latent tokens changed, 2 are gone: [4]2"
    assert latents_text(["4", "2"], [2], ("[", "]")).plain == "0 of 2 latent tokens changed, 1 are gone: 42"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n\na\na", "a\n\na\na"),
        ("a\na\na\na\nb\n\nb\n", "a\n[the same line 3 more times]\nb\n\nb"),
        ("\n\n\n\n\na", "\n\n\n\n\na"),
        ("", ""),
    ],
)
def test_a_line_in_a_loop_is_shown_once(text, shown):
    assert without_repeats(text) == shown


def test_a_pretty_printed_json_object_is_one_question(monkeypatch):
    text = json.dumps({"question": "What is 2 + 2?", "answer": 4}, indent=2)
    monkeypatch.setattr("latentseek_agents.cli.questions.read_input", lambda name: text)
    assert read_questions("-") == [Question("What is 2 + 2?", "4", "standard input")]


def test_a_reference_is_for_one_question(monkeypatch):
    text = '{"question": "a"}\n{"question": "b"}'
    monkeypatch.setattr("latentseek_agents.cli.questions.read_input", lambda name: text)
    with pytest.raises(InputError, match="--reference is for one question"):
        read_questions("-", "4")


def test_the_searches_are_shown_on_a_page(run, tmp_path):
    file = tmp_path / "out.html"
    assert run("solve", "What is 2 + 2?", *SHORT, "--quiet", "--html", str(file)).exit_code == 0
    page = file.read_text(encoding="utf-8")
    assert page.count("<details") == 3
    assert "1 of 1 verified" in page
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


def test_a_page_that_cannot_be_written_is_known_before_the_work(run, tmp_path):
    result = run("solve", "What is 2 + 2?", *SHORT, "--html", str(tmp_path / "missing" / "out.html"))
    assert result.exit_code == 2
    assert "cannot write the page" in result.output
    assert run.verifier.calls == []


PROGRAM = {"program": "a = 2\nprint(a + 2)", "answer": "4", "reason": ""}


class Preparing(ScriptedVerifier):
    """Prepares what a Combined with a program for the question prepares."""

    def __init__(self, scores):
        super().__init__(scores)
        self.prepared = [PROGRAM, None]

    def prepare(self, question):
        return Prepared(self.prepared)


def test_the_program_for_the_question_is_shown_with_what_it_prints(run):
    run.verifier = Preparing([0.0])
    shown = run("solve", "What is 2 + 2?", *SHORT).stdout
    assert "program    prints 4:  a = 2 ⏎ print(a + 2)  0.0 s\n" in shown
    run.verifier.prepared = [{"program": None, "answer": None, "reason": "\x1b[31mit is too long"}]
    shown = run("solve", "What is 2 + 2?", *SHORT).stdout
    assert "program    gives no answer: it is too long  0.0 s\n" in shown
    assert "\x1b" not in shown


def test_without_anything_to_prepare_no_program_is_shown(run):
    assert "program  " not in run("solve", "What is 2 + 2?", *SHORT).stdout


def test_programs_in_a_solution_are_shown_with_what_they_print(run, monkeypatch):
    text = "```python\nprint(3 * 24)\n```\n```output\n73\n```\nThe answer is 73."
    script = scripted_backbone([text])
    monkeypatch.setattr(solve, "load_backbone", lambda model=None, **options: script)
    run.verifier = ScriptedVerifier([0.0])
    shown = run("solve", "What is 3 * 24?", "--max-iterations", "0").stdout
    assert re.search(r"^ {11}its program prints 72: .*73", shown, re.MULTILINE)


def test_a_refuted_step_is_set_off_wherever_it_stands():
    text = "It is so. " * 60 + "Now 2 + 2 = 5. The answer is 5."
    report = check_steps(text)
    shown = solution_text(text, report, 200, ("[", "]")).plain
    assert shown.startswith("… ")
    assert "Now [2 + 2 = 5]. The answer is 5." in shown
    assert len(solution_text(text, None, 200).plain) == 200
    assert solution_text(" \n", check_steps(""), 200).plain == "(empty)"


@settings(max_examples=100)
@given(st.text(alphabet="2+=45 \n\x1b[31m]\u202ea.", max_size=120))
def test_a_solution_of_any_text_is_one_printable_line(text: str):
    shown = solution_text(text, check_steps(text), 80, ("<", ">")).plain
    assert shown.isprintable()
    assert len(shown) <= 80


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_lines_go_on_below_their_beginning(width, colour, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    file = StringIO()
    console = Console(
        file=file,
        force_terminal=True,
        width=width,
        no_color=not colour,
        markup=False,
        legacy_windows=False,
    )
    print_labelled(console, "label", ("red ", "red"), "word " * 60)
    written = file.getvalue()
    assert ("\x1b[31m" in written) is colour
    lines = plain(written).splitlines()
    assert len(lines) > 2
    assert lines[0].startswith("label      red word")
    assert all(line.startswith(" " * 11 + "word") and len(line) <= width for line in lines[1:])


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], True),
        (["--prompt", "boxed"], False),
        (["--set", "prompt=json"], False),
        (["--preset", "plain"], True),
        (["--preset", "Qwen2.5-1.5B-Instruct:gsm8k"], False),
        (["--model", "org/model"], False),
        (["--model", "org/model", "--prompt", "example"], True),
    ],
)
def test_the_embedded_model_is_shown_a_solved_question(run, arguments, shown):
    run.verifier = ScriptedVerifier([0.0])
    result = run("solve", "What is 2 + 2?", "--max-new-tokens", "8", "--max-iterations", "0", *arguments)
    assert ("a solved question first" in result.stdout) is shown, result.output
