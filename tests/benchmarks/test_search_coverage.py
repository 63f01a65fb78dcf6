"""Coverage of a search beside that of samples, against numbers worked out by hand."""

import sys
from pathlib import Path

import pytest

from latentseek_agents.evaluation.reports.analysis import Group, group_outcomes, read_run
from latentseek_agents.evaluation.runs.records import Outcome
from tests.evaluation.reports.test_analysis import RUN, samples, search
from tests.support.made_up_runs import attempt, outcome, write_run

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from search_coverage import Coverage, coverage_over_iterations, coverage_table


def group_of(outcomes: list[Outcome]) -> Group:
    (group,) = group_outcomes(outcomes)
    return group


def coverage(outcomes: list[Outcome]) -> list[Coverage]:
    return coverage_over_iterations(group_of(outcomes))


def attempts(row: Coverage) -> tuple[str, int]:
    """How many samples stand beside a search at equal attempts."""
    (one,) = [one for one in row.beside if one.equal.kind == "attempts"]
    ((label, rival),) = one.equal.neighbours
    return label, rival.samples


def test_coverage_beside_sampling():
    rows = coverage(RUN)
    assert [row.search.method for row in rows] == ["psrm", "psrm"]
    first, second = rows
    assert (first.search.right, second.search.right) == (1, 2)

    def found(row: Coverage, kind: str, *, stopping: bool = False) -> list[tuple[str, int, float, int]]:
        (one,) = [one.equal for one in row.beside if (one.equal.kind, one.stopping) == (kind, stopping)]
        return [(label, rival.samples, rival.cost, rival.series.right) for label, rival in one.neighbours]

    assert found(first, "attempts") == [("exactly", 1, 1, 1)]
    assert found(second, "attempts") == [("exactly", 2, 2, 2)]
    # The search makes 1 + 2 + 2 + 2 attempts: 70 passes; two samples each are 80, one is 40.
    assert found(second, "forward passes") == [("at most", 1, 10, 1), ("at least", 2, 20, 2)]
    # Sampling that stops: 2 + 2 + 1 + 2 attempts: 70 passes.
    assert found(second, "forward passes", stopping=True) == [("exactly", 2, 17.5, 2)]


def test_coverage_without_samples():
    rows = coverage([one for one in RUN if one.key.method == "psrm"])
    assert [row.beside for row in rows] == [[], []]


@pytest.mark.parametrize(
    ("cost", "kinds"),
    [(40.0, {"attempts", "forward passes", "computed tokens"}), (0.0, {"attempts", "forward passes"})],
)
def test_kinds_of_cost_are_those_on_record(cost: float, kinds: set[str]):
    made = [attempt(place, "4", True, policy_computed_tokens=cost) for place in range(2)]
    run = [outcome("psrm", 0, made, 1), samples("sc:3", 0, "5", "5", "4", policy_computed_tokens=30.0)]
    assert {one.equal.kind for one in coverage(run)[-1].beside} == kinds


def test_a_search_that_draws_several_samples_competes_with_as_many():
    tried = [attempt(0, "5", False), attempt(1, "4", True, samples=3)]
    run = [outcome("psrm", 0, tried, 1), samples("sc:4", 0, "5", "5", "5", "4")]
    assert [attempts(row) for row in coverage(run)] == [("exactly", 1), ("exactly", 4)]
    (_, fewer) = coverage([run[0], samples("sc:3", 0, "5", "5", "4")])
    assert attempts(fewer) == ("at most", 3)


def test_the_larger_pool_is_what_searches_are_compared_with():
    tried = [("5", -1.0, False)] * 3 + [("4", 0.0, True)]
    run = [
        samples("sc:2", 0, "5", "5"),
        samples("bon:4:steps", 0, "5", "5", "5", "4"),
        search("psrm", 0, *tried, chosen=3),
    ]
    last = coverage(run)[-1]
    assert attempts(last) == ("exactly", 4)
    assert last.beside[0].equal.neighbours[0][1].series.right == 1


def test_the_samples_of_all_questions_come_first():
    tried = [attempt(place, "5", False) for place in range(6)]
    run = [outcome("psrm", number, tried) for number in range(5)]
    run += [samples("sc:3", number, "4", "4", "4") for number in range(5)]
    run += [samples("bon:6:steps", 0, *["4"] * 6)]
    last = coverage(run)[-1]
    equal = [one.equal for one in last.beside if one.equal.kind == "attempts"]
    assert [
        (one.search.variant, one.search.questions, [rival.samples for _, rival in one.neighbours])
        for one in equal
    ] == [("after 5", 5, [3]), ("after 5 on 1 question", 1, [6])]
    assert last.search.questions == 5


def test_the_table_says_when_there_are_no_more_samples(tmp_path: Path):
    tried = [attempt(place, "5", False) for place in range(9)]
    run = [outcome("psrm", 0, tried), outcome("sc:3", 0, tried[:3])]
    rows = coverage_table(read_run(write_run(tmp_path, run))).markdown().splitlines()
    last = [row for row in rows if row.startswith("| sums")][-1]
    assert "| 90 | pass@3 for 30: 0.0; +0.0 (-79.3 to +79.3), p 1.000 | no more stored | no diff" in last
    second = "| attempts | 2 | pass@2: 0.0; +0.0 (-79.3 to +79.3), p 1.000 | the same | no diff"
    assert second in "".join(rows)
