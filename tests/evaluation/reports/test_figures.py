"""Figures: which curves they have, on which questions, and in which colours."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from latentseek_agents.evaluation.reports.analysis import Group, read_run
from latentseek_agents.evaluation.reports.figures import (
    _COLOURS,
    _families,
    _figure,
    _over_iterations,
    _over_tokens,
    _styles,
    draw,
)
from latentseek_agents.evaluation.runs.records import Outcome
from tests.support.made_up_runs import attempt, outcome, write_run

JUDGED: dict[str, Any] = {"score": -0.5, "passed": False, "verifier_tokens": 5}


def searched(method: str, number: int, iterations: int, *, chosen: int | None = None) -> Outcome:
    """Wrong at first, right from the first iteration on; the last attempt has the best score."""
    made = [
        attempt(
            place,
            "4" if place else "5",
            bool(place),
            score=-1 / (place + 1),
            passed=False,
            verifier_tokens=5,
            latents=2,
        )
        for place in range(iterations + 1)
    ]
    return outcome(method, number, made, iterations if chosen is None else chosen, stop_reason="iterations")


def sampled(method: str, number: int, count: int, **values: Any) -> Outcome:
    return outcome(method, number, [attempt(place, "4", True, **values) for place in range(count)])


def group_of(tmp_path: Path, outcomes: list[Outcome]) -> Group:
    (group,) = read_run(write_run(tmp_path / "run", outcomes)).groups
    return group


def a_run() -> list[Outcome]:
    run = [sampled("cot", number, 1) for number in range(4)]
    run += [sampled("sc:3", number, 3) for number in range(4)]
    run += [sampled("bon:2:steps", number, 2, **JUDGED) for number in range(4)]
    run += [sampled("bon:2:psrm", number, 2, **JUDGED) for number in range(4)]
    run += [searched("steps", number, 2) for number in range(4)]
    return run + [searched("psrm", number, number) for number in range(4)]


def test_searches_are_curves_over_their_tokens(tmp_path):
    curves = {curve.label: curve for curve in _over_tokens(group_of(tmp_path, a_run()))}
    steps = curves["steps, 0 to 2 iterations"]
    # 10 tokens of the policy and 5 of the verifier for each attempt.
    assert [*steps.x] == [15, 30, 45]
    assert [point.accuracy for point in steps.points] == [0, 1, 1]
    assert steps.joined
    psrm = curves["psrm, 0 to 3 iterations"]
    # Searches of 0, 1, 2 and 3 iterations: each stays where it stopped.
    assert [*psrm.x] == [15, 15 + 15 * 3 / 4, 15 + 15 * 5 / 4, 15 + 15 * 6 / 4]
    assert [point.right for point in psrm.points] == [0, 3, 3, 3]
    assert psrm.oracle
    assert [*curves["sc-1 to sc-3"].x] == [10, 20, 30]
    assert [*curves["bon-1:steps to bon-2:steps"].x] == [15, 30]
    assert curves["bon-1:psrm to bon-2:psrm"].oracle
    assert (curves["cot"].joined, [*curves["cot"].x]) == (False, [10])
    assert len(curves) == 6


def test_a_curve_of_a_search_ends_with_what_the_run_returned(tmp_path):
    run = [searched("steps", number, 2, chosen=0) for number in range(4)]
    (curve,) = _over_tokens(group_of(tmp_path, run))
    assert [point.right for point in curve.points] == [0, 4, 0]
    assert (curve.joined, [*curve.x]) == (True, [15, 30, 45])


def test_samples_of_other_questions_are_not_joined(tmp_path):
    run = [sampled("sc:2", number, 2) for number in range(5)]
    run += [sampled("sc:4", number, 4) for number in range(2)]
    run += [searched("psrm", number, 1) for number in range(5)]
    group = group_of(tmp_path, run)
    sets = [
        (curve.label, [*curve.x], {point.questions for point in curve.points})
        for curve in _over_tokens(group)[:2]
    ]
    assert sets == [("sc-1 to sc-2", [10, 20], {5}), ("sc-3 to sc-4", [30, 40], {2})]


def test_a_method_has_one_colour_in_all_figures_and_no_colour_is_there_twice(tmp_path):
    group = group_of(tmp_path, a_run())
    families = _families(group)
    seen: dict[str, int] = {}
    for curves in (_over_tokens(group), _over_iterations(group)):
        for curve, style in zip(curves, _styles(curves, families), strict=True):
            assert seen.setdefault(curve.family, style) == style
    more = [*a_run(), *(searched(f"walk:{number}", 0, 1) for number in range(4))]
    group = group_of(tmp_path, more)
    for curves in (_over_tokens(group), _over_iterations(group)):
        styles = _styles(curves, _families(group))
        assert len({style % len(_COLOURS) for style in styles}) == len(styles)


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_legends_mark_oracles_and_say_of_how_many_questions_a_curve_is(tmp_path):
    group = group_of(tmp_path, a_run())
    curves = _over_tokens(group)
    figure = _figure("title", curves, _styles(curves, _families(group)), over_tokens=True)
    assert "psrm, 0 to 3 iterations (ORACLE), n = 4" in labels(figure)
    assert "steps, 0 to 2 iterations, n = 4" in labels(figure)
    assert len(labels(figure)) == len(curves)
    hollow = {line.get_label(): line.get_markerfacecolor() for line in figure.axes[0].lines}
    assert hollow["psrm, 0 to 3 iterations (ORACLE), n = 4"] == "white"


@pytest.mark.parametrize("count", [1, 18])
def test_any_number_of_methods_and_iterations_can_be_drawn(tmp_path, count):
    run = [searched(f"a-method-with-a-long-name-{place}", 0, place) for place in range(count)]
    drawn = draw(read_run(write_run(tmp_path / "run", run)))
    assert [one.kind for one in drawn] == ["iterations", "cost"]
