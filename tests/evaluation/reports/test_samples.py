"""Samples of several methods: a larger run that has only begun takes nothing from a smaller one."""

import csv
import io
from pathlib import Path
from typing import Any

from latentseek_agents.evaluation.reports.analysis import Group, group_outcomes, read_run
from latentseek_agents.evaluation.reports.report import write_report
from latentseek_agents.evaluation.reports.samples import SamplePool
from latentseek_agents.evaluation.runs.records import Outcome
from tests.support.made_up_runs import attempt, outcome, write_run


def sampled(method: str, number: int, count: int, *, right: bool = True, **values: Any) -> Outcome:
    made = [attempt(place, "4" if right else "5", right, **values) for place in range(count)]
    return outcome(method, number, made)


def searched(method: str, number: int, *, right: bool, tokens: int = 25, made: int = 1) -> Outcome:
    tried = [attempt(place, "4" if right else "5", right, policy_tokens=tokens) for place in range(made)]
    return outcome(method, number, tried)


def analysed(outcomes: list[Outcome]) -> Group:
    (group,) = group_outcomes(outcomes)
    return group


def rows(found: Group, kind: str = "tokens") -> list[tuple[str, int, list[tuple[str, int]], str]]:
    """Of each row at equal cost: its variant, of how many questions, its neighbours, its finding."""
    return [
        (
            one.search.variant,
            one.search.questions,
            [(label, rival.samples) for label, rival in one.neighbours],
            one.finding,
        )
        for one in found.equal_costs
        if one.kind == kind
    ]


def begun(more: int) -> list[Outcome]:
    """A search that is wrong on 20 questions, samples that are right on all, and larger ones of the first."""
    run = [searched("self", number, right=False) for number in range(20)]
    run += [sampled("sc:4", number, 4) for number in range(20)]
    return run + [sampled("sc:6", number, 6) for number in range(more)]


def test_a_larger_run_that_has_only_begun_changes_no_comparison():
    alone, both = analysed(begun(0)), analysed(begun(2))
    assert rows(alone) == [("as run", 20, [("at most", 2), ("at least", 3)], "worse")]
    assert rows(both) == rows(alone)
    pairs = {(pair.first.method, pair.second.method): pair.comparison for pair in both.pairs}
    found = pairs["self", "sc:4"]
    assert found is not None
    assert (found.questions, found.finding) == (20, "worse")
    assert ("self", "sc:6") not in pairs


def test_each_number_of_samples_is_of_the_questions_that_have_as_many():
    counts = [(one.method, one.questions) for one in analysed(begun(2)).samples]
    assert counts == [
        *((f"sc-{count}", 20) for count in (1, 2, 3, 4)),
        *((f"sc-{count}", 2) for count in (5, 6)),
        *((f"pass@{count}", 20) for count in (1, 2, 3, 4)),
        *((f"pass@{count}", 2) for count in (5, 6)),
    ]


def test_a_larger_run_that_is_nearly_done_is_what_dearer_searches_meet():
    run = [searched("self", number, right=True, tokens=55) for number in range(20)]
    run += [sampled("sc:3", number, 3, right=False) for number in range(20)]
    run += [sampled("sc:6", number, 6, right=False) for number in range(19)]
    assert rows(analysed(run)) == [
        ("as run", 20, [("at most", 3)], "not decided"),
        ("on 19 questions", 19, [("at most", 5), ("at least", 6)], "better"),
    ]


def test_the_questions_that_are_left_may_cost_something_else():
    """Of 3 questions one costs 100 tokens and has more samples: its neighbours lie at its own cost."""
    run = [searched("self", number, right=True, tokens=100 if number == 0 else 10) for number in range(3)]
    run += [sampled("sc:2", number, 2) for number in range(3)]
    run += [sampled("sc:11", 0, 11)]
    assert rows(analysed(run)) == [
        ("as run", 3, [("at most", 2)], "no difference shown"),
        ("on 1 question", 1, [("exactly", 10)], "no difference shown"),
    ]


def test_of_equally_many_shared_questions_the_larger_samples_count():
    run = [*begun(20), sampled("bon:2:self", 0, 2), sampled("bon:9:self", 1, 9)]
    pairs = {(pair.first.method, pair.second.method) for pair in analysed(run).pairs}
    assert {("self", "sc:6"), ("self", "bon:9:self"), ("sc:4", "sc:6")} <= pairs
    assert not {("self", "sc:4"), ("sc:6", "sc:4"), ("self", "bon:2:self")} & pairs


def test_a_question_that_could_not_be_worked_on_is_wrong_with_as_many_samples_as_were_wanted():
    failed = [attempt(0, None, False, finish_reason="error", text="too long")]
    run = [outcome("sc:2", 0, failed), sampled("sc:2", 1, 2), sampled("sc:4", 1, 4)]
    (group,) = group_outcomes(run)
    pool = group.pool
    assert pool is not None
    assert [sorted(pool.majority(count).trials) for count in (1, 2, 3, 4)] == [[0, 1], [0, 1], [1], [1]]
    # A verifier that fails takes nothing from samples that are there without it.
    (group,) = group_outcomes([outcome("bon:4:steps", 0, failed), sampled("sc:2", 0, 2)])
    pool = group.pool
    assert pool is not None
    assert (pool.size, pool.coverage(2).trials[0].right) == (2, True)
    (group,) = group_outcomes([outcome("bon:4:steps", 0, failed)])
    assert group.judged_pools["steps"].best(4).trials[0].failed


def test_best_of_n_keeps_to_its_own_reward_and_its_longest_rows():
    verdict: dict[str, Any] = {"score": 0.0, "passed": True, "verifier_tokens": 1}
    run = [sampled("bon:2:steps", number, 2, **verdict) for number in range(3)]
    run += [sampled("bon:5:steps", 0, 5, **verdict), sampled("bon:3:self", 0, 3, **verdict)]
    (group,) = group_outcomes(run)
    pools = group.judged_pools
    assert {reward: pool.size for reward, pool in pools.items()} == {"self": 3, "steps": 5}
    assert [len(pools["steps"].best(count).trials) for count in (2, 5)] == [3, 1]
    assert pools["steps"].best(2).method == "bon-2:steps"


def test_samples_of_no_question_in_common_are_no_levels():
    (group,) = group_outcomes([sampled("sc:2", 0, 2)])
    pool = group.pool
    assert pool is not None
    assert pool.levels([1], SamplePool.majority) == []


def test_a_report_tells_the_rows_apart_by_their_questions(tmp_path: Path):
    run = [searched("self", number, right=True, tokens=55) for number in range(20)]
    run += [sampled("sc:3", number, 3) for number in range(20)]
    run += [sampled("sc:6", number, 6) for number in range(5)]
    write_report([read_run(write_run(tmp_path / "run", run))], tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert (
        "| sc at the tokens of self | sc-3 (no more stored): 100.0 (83.9–100.0); "
        "sc-5: 100.0 (56.6–100.0), n = 5; sc-6: 100.0 (56.6–100.0), n = 5 |" in markdown
    )
    table = markdown.split("### At equal attempts and at equal cost\n", 1)[1]
    assert "| sums · boxed | self | 5 | 100.0 (56.6–100.0) | tokens | 55 | sc-5 for 50: " in table
    text = (tmp_path / "out" / "results.csv").read_text(encoding="utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    numbers = ("value", "low", "high")
    keys = [tuple(value for name, value in line.items() if name not in numbers) for line in lines]
    assert len(set(keys)) == len(keys)
    rows = {line["row"] for line in lines if line["table"] == "At equal attempts and at equal cost"}
    assert "sums · boxed, self, 5, 100.0 (56.6–100.0), tokens" in rows
