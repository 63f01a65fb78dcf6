"""What a report shows: marks, warnings and findings; and that no name in it is markup."""

import csv
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latentseek_agents.cli import app
from latentseek_agents.evaluation.reports import report as report_module
from latentseek_agents.evaluation.reports.analysis import read_run
from latentseek_agents.evaluation.reports.figures import draw
from latentseek_agents.evaluation.reports.report import incomplete, write_report
from latentseek_agents.evaluation.reports.table import markdown_text
from latentseek_agents.evaluation.runs.plan import add_to_plan
from latentseek_agents.evaluation.runs.records import Key
from tests.support.made_up_runs import attempt, outcome, write_run

TEXT = '=1+1|<script>alert(1)</script> ![x](https://example.org/x.png) `$\\frac$ "&\n# \x1b[31m\u202e_*'


class Page(HTMLParser):
    """Elements with their attributes, and the text outside of style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


def a_run(questions: int = 8):
    """cot is right on none, the search on all, samples on every other; psrm finds every answer but one."""
    for number in range(questions):
        yield outcome("cot", number, [attempt(0, "5", False)])
        made = [attempt(place, "4" if number % 2 else "5", bool(number % 2)) for place in range(3)]
        yield outcome("sc:3", number, made)
        tried = [
            attempt(0, "5", False, score=-0.9, passed=False),
            attempt(1, "4", True, score=0.0, passed=True),
        ]
        yield outcome("self", number, tried, 1)
        yield outcome("psrm", number, tried if number else tried[:1], 1 if number else 0)


def written(tmp_path: Path, outcomes, *, figures: bool = False, **settings) -> Path:
    run = write_run(tmp_path / "run", outcomes, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_module, "can_draw", lambda: figures)
        write_report([read_run(run)], tmp_path / "out")
    return tmp_path / "out"


def section(markdown: str, title: str) -> str:
    """The text under a heading of the third level."""
    return markdown.split(f"### {title}\n", 1)[1].split("\n### ", 1)[0]


def test_the_main_table(tmp_path):
    markdown = (written(tmp_path, a_run()) / "report.md").read_text(encoding="utf-8")
    rows = [line for line in section(markdown, "Accuracy").splitlines() if line.startswith("|")]
    assert rows[0] == "| method | sums · boxed, n = 8 |"
    # Wilson of 0, 4 and 8 of 8; the search costs 20 tokens, two samples as well.
    assert rows[2:] == [
        "| cot | 0.0 (0.0–32.4) |",
        "| sc:3 | 50.0 (21.5–78.5) |",
        "| self | 100.0 (67.6–100.0) |",
        "| sc at the tokens of self | sc-2: 50.0 (21.5–78.5) |",
    ]


def test_findings_are_those_of_the_intervals(tmp_path):
    markdown = (written(tmp_path, a_run()) / "report.md").read_text(encoding="utf-8")
    pairs = section(markdown, "In pairs, on the same questions")
    # 8 to 0: p = 2 / 256, and the interval begins at (8 - z^2) / (8 + z^2). 4 to 0: p = 0.125.
    assert "| sums · boxed | self | cot | 8 | 8 | 0 | +100.0 (+35.1 to +100.0) | 0.008 | better |" in pairs
    assert re.search(
        r"\| sc:3 \| cot \| 8 \| 4 \| 0 \| \+50\.0 .* \| 0\.125 \| no difference shown \|", pairs
    )
    assert "psrm" not in pairs


def test_a_search_beside_its_drafts_is_in_table_and_csv(tmp_path):
    out = written(tmp_path, a_run())
    shown = section((out / "report.md").read_text(encoding="utf-8"), "What the search lost and saved")
    (best,) = [line for line in shown.splitlines() if "| self | keep=best, as run |" in line]
    cells = [cell.strip() for cell in best.strip("| ").split("|")]
    assert cells[5:8] == ["0", "0", "8"]
    assert cells[8].startswith("+100.0 (")
    assert cells[9:] == ["0.008", "better"]
    assert "Comparisons in this table: 3." in shown
    rows = list(csv.DictReader(io.StringIO((out / "results.csv").read_text(encoding="utf-8"))))
    found = {row["column"]: row for row in rows if row["row"] == "sums · boxed, self, keep=best, as run"}
    assert found["p"]["value"] == "0.008"
    gain = found["difference from its drafts"]
    assert [round(float(gain[name]), 1) for name in ("value", "low", "high")] == [100.0, 35.1, 100.0]


def test_oracles_stand_apart_and_are_marked(tmp_path):
    markdown = (written(tmp_path, a_run()) / "report.md").read_text(encoding="utf-8")
    results, oracles = markdown.split("\n### ORACLE\n", 1)
    assert "psrm" not in results
    assert "pass@" not in results
    lines = [line for line in oracles.splitlines() if line.startswith("| ")]
    assert any(line.startswith("| psrm (ORACLE) | 87.5") for line in lines)
    for line in lines:
        method = re.search(r"\| ((?:psrm|pass@)[^|]*) \|", line)
        assert method is None or "pass@n at" in line or method[1].endswith("(ORACLE)"), line


def test_psrm_is_marked_wherever_it_is_printed(tmp_path):
    cut = [attempt(n, None, False, finish_reason="length", score=-1.0, passed=False) for n in range(3)]
    names = ("psrm", "walk:psrm", "bon:3:psrm", "sc:3")
    run = [outcome(name, number, cut[:1] if number else cut) for name in names for number in range(4)]
    run += [outcome("walk:psrm", 4, cut[:1]), outcome("cot", 4, cut[:1])]
    out = written(tmp_path, run)
    result = invoke(tmp_path / "run", "--out", tmp_path / "out")
    assert ": psrm (ORACLE) has 1 question left to work on" in result.stdout
    assert "psrm (ORACLE): 4 of 4 answers ran into the limit" in result.stdout
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert re.findall(r"psrm(?! \(ORACLE\)).{0,40}", markdown) == []


def test_a_run_of_oracles_alone_has_no_empty_table(tmp_path):
    oracles = [one for one in a_run() if one.key.method == "psrm"]
    markdown = (written(tmp_path, oracles) / "report.md").read_text(encoding="utf-8")
    assert "### Accuracy\n" not in markdown
    assert "| psrm (ORACLE) | 87.5 (52.9–97.8) |" in section(
        markdown, "Accuracy: ORACLE methods, a ceiling and no result"
    )


def test_samples_that_an_oracle_chose_are_oracles_at_every_number(tmp_path):
    made = [attempt(place, "4", True, score=0.0, passed=True) for place in range(3)]
    run = [
        outcome(name, number, made) for name in ("sc:3", "bon:3:psrm", "bon:3:steps") for number in range(4)
    ]
    out = written(tmp_path, run)
    plain, oracles = (out / "report.md").read_text(encoding="utf-8").split("### ORACLE", 1)
    assert "psrm" not in plain
    assert "| bon-2:steps | " in plain
    assert "| bon-2:psrm (ORACLE) | " in oracles
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "psrm" in row["row"]]
    assert {row["oracle"] for row in rows} == {"True"}


def test_what_explains_a_result_is_said_above_it(tmp_path):
    cut = [attempt(0, None, False, finish_reason="length")]
    ended = [attempt(0, "5", False)]
    run = [outcome("cot", number, cut if number < 3 else ended) for number in range(4)]
    run += [outcome("self", number, ended, stop_reason="unjudged") for number in range(4)]
    run += [
        outcome("steps", number, ended, stop_reason="unjudged" if number < 2 else "passed")
        for number in range(4)
    ]
    out = written(tmp_path, run)
    markdown = (out / "report.md").read_text(encoding="utf-8")
    before = markdown.split("### Accuracy\n", 1)[0]
    assert "boxed: cot: 3 of 4 answers ran into the limit of tokens; a larger" in before.replace("\\", "")
    assert "boxed: self: 4 of 4 searches ended because the verifier could not judge" in before.replace(
        "\\", ""
    )
    assert "steps:" not in before
    assert "ran into the limit" in Page((out / "report.html").read_text(encoding="utf-8")).text
    costs = section(markdown, "Costs")
    assert "| 0 | 3 | 0 | 0 |" in next(row for row in costs.splitlines() if " cot | " in row)
    assert "| 0 | 0 | 2 | 0 |" in next(row for row in costs.splitlines() if " steps | " in row)


def test_samples_that_ran_out_are_no_equal_compute(tmp_path):
    made = [attempt(0, "4", True, score=0.0, passed=True, policy_tokens=500)]
    outcomes = [one for one in a_run() if one.key.method == "sc:3"]
    outcomes += [outcome("self", number, made) for number in range(8)]
    markdown = (written(tmp_path, outcomes) / "report.md").read_text(encoding="utf-8")
    assert "| sc at the tokens of self | sc-3 (no more stored): 50.0" in section(markdown, "Accuracy")
    assert "may pay for more samples than were drawn" in section(markdown, "Accuracy")
    table = section(markdown, "At equal attempts and at equal cost")
    assert "has made attempts at the question that took most" in table
    attempts, tokens = (row for row in table.splitlines() if "| self |" in row)
    cell = "| attempts | 1 | sc-1: 50.0; +50.0 (+1.3 to +78.5), p 0.125 | the same | no difference shown |"
    assert cell in attempts
    assert "| tokens | 500 | sc-3 for 30: 50.0; +50.0 (" in tokens
    assert "| no more stored | no difference shown |" in tokens


def test_both_neighbours_in_cost_are_shown(tmp_path):
    outcomes = [one for one in a_run() if one.key.method == "sc:3"]
    made = [attempt(0, "4", True, score=0.0, passed=True, policy_tokens=25)]
    outcomes += [outcome("self", number, made) for number in range(8)]
    markdown = (written(tmp_path, outcomes) / "report.md").read_text(encoding="utf-8")
    cells = "sc-2: 50.0 (21.5–78.5); sc-3: 50.0 (21.5–78.5)"
    assert f"| sc at the tokens of self | {cells} |" in section(markdown, "Accuracy")
    rows = section(markdown, "At equal attempts and at equal cost")
    assert re.search(r"\| tokens \| 25 \| sc-2 for 20: 50\.0; .* \| sc-3 for 30: 50\.0; .* \|", rows)
    costs = section(markdown, "Costs")
    assert "| sc-2, at most the tokens of self |" in costs
    assert "| sc-3, at least the tokens of self |" in costs


def test_what_not_passed_and_not_judged_mean_is_said(tmp_path):
    out = written(tmp_path, a_run())
    meaning = "not passed: it did not; not judged: it could not tell."
    markdown = (out / "report.md").read_text(encoding="utf-8")
    for title in ("Verdicts against the truth", "Agreement of verdicts with the truth"):
        assert meaning in section(markdown, title)
    assert Page((out / "report.html").read_text(encoding="utf-8")).text.count(meaning) == 2


def test_runs_that_are_not_done_say_so(tmp_path):
    outcomes = [one for one in a_run() if one.key.method != "self" or one.key.problem < 3]
    out = written(tmp_path, outcomes)
    for name in ("report.md", "report.html"):
        text = (out / name).read_text(encoding="utf-8")
        assert "Incomplete" in text
        assert "self has 5 questions left to work on" in text
    assert "| self | 100.0 (43.9–100.0), n = 3 |" in (out / "report.md").read_text(encoding="utf-8")


def test_complete_runs_do_not(tmp_path):
    assert "Incomplete" not in (written(tmp_path, a_run()) / "report.md").read_text(encoding="utf-8")


def test_the_page_is_self_contained(tmp_path):
    page = Page((written(tmp_path, a_run(), figures=True) / "report.html").read_text(encoding="utf-8"))
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 2
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in images)
    assert all(image["alt"] for image in images)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    links = [value for _, found in page.elements for name, value in found.items() if name in ("src", "href")]
    assert all((link or "").startswith("data:") for link in links)
    assert "psrm (ORACLE)" in page.text


def test_figures_are_pictures_and_the_same_every_time(tmp_path):
    out = written(tmp_path, a_run(), figures=True)
    drawn = draw(read_run(tmp_path / "run"))
    assert [one.kind for one in drawn] == ["iterations", "cost"]
    files = sorted(path for path in out.iterdir() if path.suffix == ".png")
    assert sorted(one.png for one in drawn) == sorted(path.read_bytes() for path in files)
    assert all(one.png.startswith(b"\x89PNG") for one in drawn)


def test_every_number_is_in_the_csv_file_under_a_name_of_its_own(tmp_path):
    text = (written(tmp_path, a_run()) / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    keys = [(row["run"], row["oracle"], row["table"], row["row"], row["column"]) for row in rows]
    assert len(set(keys)) == len(keys)
    found = {(row["table"], row["row"], row["column"]): row for row in rows}
    row = found["Costs", "sums · boxed, sc:3", "accuracy"]
    assert ([float(row[name]) for name in ("value", "low")], row["oracle"]) == (
        [50.0, pytest.approx(21.5, abs=0.1)],
        "False",
    )
    assert found["Costs", "sums · boxed, psrm (ORACLE)", "accuracy"]["oracle"] == "True"
    pairs = "In pairs, on the same questions"
    assert found[pairs, "sums · boxed, self, cot", "p"]["value"] == "0.008"
    verdicts = "Verdicts against the truth"
    assert found[verdicts, "sums · boxed, self", "not passed, wrong"]["value"] == "8"
    assert found["Coverage of samples", "sums · boxed, pass@2 (ORACLE)", "tokens"]["value"] == "20"
    agreement = "Agreement of verdicts with the truth"
    constant = found[agreement, "sums · boxed, self, verdict, first attempts", "of a constant verdict"]
    assert constant["value"] == "100.0"


def test_no_name_or_text_is_markup(tmp_path):
    made = [
        attempt(0, TEXT, False, passed=True, score=0.0, text=TEXT, checks={"<b>check</b>|": True}),
        attempt(1, "4", True, passed=False, score=-1.0, text=TEXT),
    ]
    outcomes = [
        outcome(name, 0, made[:1] if name == "cot" else made, dataset=TEXT)
        for name in ("self", "sc:2", "cot", TEXT)
    ]
    out = written(tmp_path, outcomes, figures=True, model=f"{TEXT}\ud800")
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "b"} & {tag for tag, _ in page.elements}
    assert "<script>alert(1)</script>" in page.text
    assert "<b>check</b>" in page.text
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"<\w|\x1b|\u202e", markdown)
    assert "https://" not in markdown
    tables = re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE)
    assert len(tables) > 5
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    text = (out / "results.csv").read_text(encoding="utf-8")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if re.match(r"[=+@]", cell)]
    for path in out.iterdir():
        assert re.fullmatch(r"[a-z0-9.-]+", path.name)


@pytest.mark.parametrize("text", ["# a", "*a*", "_a_", "`a`", "[a](b)", "~~a~~", "$a$", "a|b", "\\", "\\|"])
def test_markdown_text_is_escaped(text):
    escaped = markdown_text(text)
    bare = re.sub(r"\\[\\`*_\[\]~$|#]", "", escaped)
    assert not re.search(r"[\\`*_\[\]~$|#]", bare)
    assert re.sub(r"\\(.)", r"\1", escaped) == text


def test_a_word_stays_legible():
    assert markdown_text("max_new_tokens 20") == "max_new_tokens 20"


@pytest.mark.parametrize("method", ["cot", "sc:3", "bon:1", "self", "psrm", "something-new"])
@pytest.mark.parametrize("right", [True, False, None])
def test_one_question_and_one_method(tmp_path, method, right):
    made = [attempt(0, "4", right, passed=None, score=None, policy_tokens=0, policy_forward_passes=0.0)]
    out = written(tmp_path, [outcome(method, 0, made)], figures=True)
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert ("100.0 (20.7–100.0)" if right else "0.0 (0.0–79.3)") in markdown
    assert "In pairs" not in markdown
    Page((out / "report.html").read_text(encoding="utf-8"))


def test_without_a_chain_of_thought_self_consistency_is_what_is_compared_with(tmp_path):
    outcomes = [one for one in a_run() if one.key.method != "cot"]
    markdown = (written(tmp_path, outcomes) / "report.md").read_text(encoding="utf-8")
    pairs = section(markdown, "In pairs, on the same questions")
    assert "| self | sc:3 |" in pairs
    assert "| cot |" not in pairs


def test_without_matplotlib_there_are_no_figures(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = invoke(write_run(tmp_path / "run", a_run()), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "latentseek-agents[eval]" in result.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["report.html", "report.md", "results.csv", "table.csv"]


def test_without_scipy_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    result = invoke(write_run(tmp_path / "run", a_run(1)))
    assert result.exit_code == 2
    assert "latentseek-agents[eval]" in result.stderr


def invoke(*arguments: object):
    return CliRunner().invoke(app, ["report", *map(str, arguments)], env={"COLUMNS": "100"})


def test_the_command_shows_the_main_table_and_writes_the_rest(tmp_path):
    folder = write_run(tmp_path / "run", a_run())
    result = invoke(folder)
    assert result.exit_code == 0, result.output
    assert "100.0 (67.6–100.0)" in result.stdout
    assert "psrm (ORACLE)" in result.stdout
    assert (folder / "report" / "report.html").exists()
    assert "6 files written to" in result.stderr
    # A report within a run does not disturb the run.
    assert invoke(folder).exit_code == 0


def test_the_command_takes_several_runs(tmp_path):
    first = write_run(tmp_path / "first", a_run())
    second = write_run(tmp_path / "second", a_run(3), model="another\x1b[31m [bold]")
    result = invoke(first, second, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "made-up-model" in result.stdout
    assert "another [bold]" in result.stdout
    assert "\x1b" not in result.stdout
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", markdown, flags=re.MULTILINE) == [
        "All runs",
        "made-up-model",
        r"another \[bold\]",
    ]


def test_the_command_on_what_is_no_run_or_not_begun(tmp_path):
    result = invoke(tmp_path)
    assert result.exit_code == 2
    assert "holds no run" in result.stderr
    assert "Traceback" not in result.output
    empty = write_run(tmp_path / "empty", [])
    result = invoke(empty)
    assert result.exit_code == 0, result.output
    assert "Nothing is done yet" in result.stdout
    result = invoke(tmp_path)
    assert result.exit_code == 2
    assert f"that hold one: {empty}" in " ".join(result.stderr.split())
    assert "Nothing is done yet" in (empty / "report" / "report.md").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_no_traceback(tmp_path):
    folder = write_run(tmp_path / "run", a_run(1))
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = invoke(folder, "--out", tmp_path / "file")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_run_that_was_stopped_says_what_is_left(tmp_path):
    """All that is done of it is one answer: without its plan it would look complete, and all right."""
    folder = write_run(tmp_path / "run", [outcome("cot", 0, [attempt(0, "4", True)])])
    assert incomplete(read_run(folder)) == []
    more = [outcome("cot", number, [attempt(0, "4", True)]) for number in range(3)]
    done = write_run(tmp_path / "done", [*more, outcome("psrm", 0, [attempt(0, "4", True)])])
    add_to_plan(done, "0-of-1", [Key("sums", "boxed", "psrm", 0)])  # of fewer questions than cot
    assert incomplete(read_run(done)) == []
    keys = [
        Key("sums", prompt, method, number)
        for prompt in ("boxed", "json")
        for method in ("cot", "psrm")
        for number in range(3)
    ]
    add_to_plan(folder, "0-of-1", keys)
    assert incomplete(read_run(folder)) == [
        "sums · boxed: cot has 2 questions left to work on",
        "sums · boxed: psrm (ORACLE) has 3 questions left to work on",
        "sums · json: cot has 3 questions left to work on",
        "sums · json: psrm (ORACLE) has 3 questions left to work on",
    ]
