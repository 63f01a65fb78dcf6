"""What is made of outcomes, against numbers worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import weighted_votes
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.reports import samples as samples_module
from latentseek_agents.evaluation.reports.analysis import (
    Group,
    group_outcomes,
    read_run,
    read_runs,
)
from latentseek_agents.evaluation.reports.equal_cost import EqualCost
from latentseek_agents.evaluation.reports.samples import SamplePool
from latentseek_agents.evaluation.reports.series import Series
from latentseek_agents.evaluation.runs.records import AttemptRecord, Outcome
from tests.support.made_up_runs import attempt, outcome, write_run


def analysed(outcomes: list[Outcome]) -> Group:
    (group,) = group_outcomes(outcomes)
    return group


def named(summaries, method: str, variant: str) -> Series:
    (found,) = [one for one in summaries if (one.method, one.variant) == (method, variant)]
    return found


def samples(method: str, problem: int, *answers: str | None, chosen: int = 0, **values) -> Outcome:
    made = [attempt(place, answer, answer == "4", **values) for place, answer in enumerate(answers)]
    return outcome(method, problem, made, chosen)


def search(method: str, problem: int, *made: tuple[str, float, bool], chosen: int) -> Outcome:
    attempts = [
        attempt(place, answer, answer == "4", score=score, passed=passed, verifier_tokens=5)
        for place, (answer, score, passed) in enumerate(made)
    ]
    return outcome(method, problem, attempts, chosen)


def equal_cost_of(found: Group, method: str, rival: str, kind: str) -> EqualCost:
    (row,) = [
        one for one in found.equal_costs if (one.search.method, one.rival, one.kind) == (method, rival, kind)
    ]
    return row


def passed_if_right(made: AttemptRecord) -> AttemptRecord:
    return replace(made, passed=made.right, score=0.0 if made.right else -1.0)


RUN = [
    samples("cot", 0, "4"),
    samples("cot", 1, "5"),
    samples("cot", 2, "5"),
    samples("cot", 3, None),
    samples("sc:3", 0, "5", "4", "4.0", chosen=1),
    samples("sc:3", 1, "5", "5", "4"),
    samples("sc:3", 2, "4", "6", "7"),
    samples("sc:3", 3, None, "8", "4", chosen=1),
    # A right draft lost, a wrong one saved, one that stays wrong, one that stays right.
    search("self", 0, ("4", -0.6, False), ("5", -0.1, True), chosen=1),
    search("self", 1, ("5", -0.8, False), ("6", -0.5, False), ("4", -0.1, True), chosen=2),
    search("self", 2, ("5", 0.0, True), chosen=0),
    search("self", 3, ("4", -0.1, True), chosen=0),
    search("psrm", 0, ("4", 0.0, True), chosen=0),
    search("psrm", 1, ("5", -1.0, False), ("4", 0.0, True), chosen=1),
    search("psrm", 2, ("5", -1.0, False), ("6", -1.0, False), chosen=0),
    search("psrm", 3, ("5", -1.0, False), ("6", -1.0, False), chosen=0),
]


def test_counts_costs_and_what_was_lost_and_saved():
    found = analysed(RUN)
    cot, search_, oracle = (named(found.methods, name, "as run") for name in ("cot", "self", "psrm"))
    assert (cot.questions, cot.right, cot.mean("policy_tokens")) == (4, 1, 10)
    drafts = search_.against_drafts
    assert (search_.right, drafts.only_second, drafts.only_first) == (2, 1, 1)
    # 2 + 3 + 1 + 1 attempts at 10 tokens, 5 tokens of the verifier, 10 passes.
    assert (
        search_.mean("policy_tokens"),
        search_.mean("verifier_tokens"),
        search_.mean("forward_passes"),
    ) == (17.5, 8.75, 17.5)
    assert search_.count("iterations") == 3
    assert oracle.oracle
    assert not search_.oracle


def test_other_choices_among_the_same_attempts():
    keeps = analysed(RUN).keeps
    variants = ("keep=best, as run", "keep=last", "keep=vote")
    assert [named(keeps, "self", variant).right for variant in variants] == [2, 2, 2]
    psrm = [named(keeps, "psrm", variant) for variant in variants]
    assert [one.right for one in psrm] == [2, 2, 2]
    lost = [
        search("self", 0, ("4", -0.5, False), ("5", -0.6, False), ("4", -0.7, False), chosen=0),
        search("self", 1, ("4", -0.5, False), ("5", -0.6, False), ("5", -0.7, False), chosen=0),
    ]
    keeps = analysed(lost).keeps
    # Votes of problem 1: exp(-1.5) = 0.22 for 4; exp(-1.8) + exp(-2.1) = 0.29 for 5.
    assert [named(keeps, "self", variant).right for variant in variants] == [2, 1, 1]
    lost_drafts = [named(keeps, "self", variant).against_drafts for variant in variants]
    assert [one.only_second for one in lost_drafts] == [0, 1, 1]


def agreed(*made: tuple[str, float, bool], program: str | None, chosen: int, **values: Any) -> Outcome:
    return replace(search("agreement", 0, *made, chosen=chosen), prepared_answer=program, **values)


def test_a_search_for_agreement_is_cut_short_with_its_vote_and_the_program_in_it():
    # After 0: 5 weighs exp(-1.5) = 0.22, and the program's 4, which no text states, 0.5. After 1: 6 weighs 1.
    # After 2: 4 weighs 0.5 + exp(-0.3) = 1.24.
    made = agreed(("5", -0.5, False), ("6", 0.0, True), ("4", -0.1, False), program="4", chosen=2)
    config = LatentSeekConfig.agreement()
    (group,) = group_outcomes([made], config)
    ((first, second, third),) = group.iterations
    assert [one.trials[0].corrected for one in (first, second, third)] == ["4", None, None]
    assert [one.trials[0].chosen for one in (first, second, third)] == [0, 1, 2]
    assert [one.right for one in (first, second, third)] == [1, 0, 1]
    # Without a program in the vote.
    ((first, second, third),) = group_outcomes([made], config.replace(program_vote=0))[0].iterations
    assert [one.right for one in (first, second, third)] == [0, 0, 1]
    assert first.trials[0].corrected is None


def test_the_choice_that_was_made_is_not_made_again_and_drafts_are_what_was_written():
    # As run a value was returned that today's vote would not choose: a report shows what the run returned.
    made = agreed(("5", 0.0, True), program="7", chosen=0, corrected="4", corrected_right=True)
    (group,) = group_outcomes([made], LatentSeekConfig.agreement())
    choices = {series.variant: series.right for series in group.keeps}
    assert choices == {"keep=best": 0, "keep=last": 0, "keep=vote, as run": 1}
    ((only,),) = group.iterations
    assert only.right == 1
    # With a program that is right, the draft is still wrong.
    made = agreed(("5", -1.0, False), program="4", chosen=0, corrected="4", corrected_right=True)
    (series,) = group_outcomes([made], LatentSeekConfig.agreement())[0].searches
    assert (series.against_drafts.only_first, series.against_drafts.only_second) == (1, 0)


def test_other_searches_of_a_run_for_agreement_keep_the_best():
    run = [
        search(method, 0, ("5", -0.6, False), ("5", -0.7, False), ("4", -0.1, True), chosen=2)
        for method in ("agreement:latents", "steps", "walk")
    ]
    (group,) = group_outcomes(run, LatentSeekConfig.agreement())
    settings = {series.method: series.config for series in group.searches}
    assert {name: one.keep for name, one in settings.items()} == {
        "agreement:latents": "vote",
        "steps": "best",
        "walk": "best",
    }
    assert settings["agreement:latents"].proposals == "latents"


def test_a_value_that_an_aimed_attempt_states_votes_once_in_a_search_cut_short():
    # The draft's program prints 4, and the attempt aimed at it states 4: 0.22; 0.82 if both voted.
    draft = attempt(0, "70", False, score=-0.97, passed=False, refuted=True, computed_answer="4")
    aimed = attempt(1, "4", True, score=-0.5, passed=False, aimed_at={"token": 1})
    made = replace(
        outcome("agreement", 0, [draft, aimed, replace(aimed, attempt=2, text="again")]), prepared_answer="71"
    )
    ((_, cut, _),) = group_outcomes([made], LatentSeekConfig.agreement())[0].iterations
    assert cut.trials[0].corrected == "71"


def test_all_samples_of_an_iteration_are_there_where_it_is_cut_short():
    made = [attempt(0, "5", False), attempt(1, "4", True), attempt(1, "4.0", True), attempt(2, "6", False)]
    run = [outcome("agreement", 0, made, 3, stop_reason="error: NonFiniteError")]
    (stops,) = group_outcomes(run, LatentSeekConfig.agreement())[0].iterations
    assert [(len(stop.trials[0].attempts), stop.right) for stop in stops] == [(1, 0), (3, 1), (4, 0)]
    assert [stop.trials[0].stop_reason for stop in stops] == [None, None, "error: NonFiniteError"]


@pytest.mark.parametrize("config", [{"keep": None}, {"keep": "all"}, {"acceptance": "agreement"}])
def test_settings_that_no_run_can_have_are_said_with_their_file(tmp_path, config):
    folder = write_run(tmp_path / "run", [samples("cot", 0, "4")], config=config)
    with pytest.raises(InputError, match=r"run\.json is not of a run of this program: "):
        read_run(folder)


def test_the_vote_is_that_of_the_run_with_its_weights(tmp_path):
    made = agreed(
        ("5", -0.6, False), ("5", -0.7, False), ("4", -0.1, True), ("6", 0, False), program=None, chosen=0
    )

    def points(**config):
        run = read_run(write_run(tmp_path / "run", [made], config={"learning_rate": "not read"} | config))
        (stops,) = run.groups[0].iterations
        return [stop.trials[0].chosen for stop in stops]

    # After two: 4 weighs 0.74, both 5 weigh 0.17 and 0.12; all alike without weights.
    assert points(keep="vote", acceptance="agreement", vote_sharpness=3.0) == [0, 0, 2, 0]
    assert points(keep="vote", acceptance="agreement", vote_sharpness=0.0) == [0, 0, 0, 0]


def test_a_search_is_compared_with_its_own_drafts():
    # In all of its drafts 5 is written, cot's are others: what counts is where the search began.
    saves = [search("steps", n, ("5", -0.6, False), ("4", 0.0, True), chosen=1) for n in range(8)]
    loses = [search("steps", 8, ("4", -0.6, False), ("5", 0.0, True), chosen=1)]
    found = analysed([samples("cot", n, "4") for n in range(9)] + saves + loses)
    beside = named(found.keeps, "steps", "keep=best, as run").against_drafts
    assert (beside.questions, beside.only_first, beside.only_second) == (9, 8, 1)
    assert beside.difference == pytest.approx(7 / 9)
    assert beside.p == pytest.approx(2 * (1 + 9) / 2**9)
    assert beside.finding == "better"


def test_fewer_samples_are_prefixes():
    found = analysed(RUN).samples
    votes = [named(found, f"sc-{count}", "first samples") for count in (1, 2, 3)]
    # Problem 0: 5 | 5, 4 | 5, 4, 4.0: right from 3 on; problem 2: 4 wins throughout; no answer has no vote.
    assert [one.right for one in votes] == [1, 1, 2]
    assert [one.mean("tokens") for one in votes] == [10, 20, 30]
    covered = [named(found, f"pass@{count}", "first samples") for count in (1, 2, 3)]
    assert [one.right for one in covered] == [1, 2, 4]
    assert all(one.oracle for one in covered)


def test_votes_of_all_samples_are_the_choice_of_the_run():
    (group,) = group_outcomes(RUN)
    pool = group.pool
    assert pool is not None
    voted = pool.majority(3).trials
    run = group.find("sc:3")
    assert run is not None
    assert {number: trial.chosen for number, trial in voted.items()} == {
        number: trial.chosen for number, trial in run.trials.items()
    }


def test_best_of_fewer_samples_and_their_votes_without_verdicts():
    judged = [
        outcome(
            "bon:2",
            0,
            [
                attempt(0, "5", False, score=-0.5, passed=False, verifier_tokens=7),
                attempt(1, "4", True, score=-0.1, passed=True, verifier_tokens=7),
            ],
            1,
        )
    ]
    found = analysed(judged).samples
    assert [named(found, f"bon-{count}", "first samples").right for count in (1, 2)] == [0, 1]
    assert named(found, "bon-2", "first samples").mean("tokens") == 34
    assert named(found, "sc-2", "first samples").mean("tokens") == 20


def test_votes_and_coverage_pay_nothing_of_a_verdict():
    verdict = {"verifier_tokens": 7, "verifier_forward_passes": 7.0, "verifier_computed_tokens": 90.0}
    made = attempt(0, "4", True, policy_computed_tokens=12.0, verifier_seconds=2.0, **verdict)
    found = analysed([outcome("bon:1:self", 0, [made])]).samples
    assert named(found, "bon-1:self", "first samples").mean("computed_tokens") == 102
    for name in ("sc-1", "pass@1"):
        one = named(found, name, "first samples")
        assert (
            one.mean("tokens"),
            one.mean("forward_passes"),
            one.mean("computed_tokens"),
            one.mean("seconds"),
        ) == (10, 10, 12, 1)


def test_self_consistency_at_the_tokens_of_a_search_has_a_neighbour_on_either_side():
    row = equal_cost_of(analysed(RUN), "self", "sc", "tokens")
    # The search costs 26.25 tokens a question: more than two samples of 10, less than three.
    assert row.cost == 26.25
    assert row.no_dearer is not None
    assert row.no_cheaper is not None
    assert (row.no_dearer.samples, row.no_dearer.cost, row.no_dearer.series.right) == (2, 20, 1)
    assert (row.no_cheaper.samples, row.no_cheaper.cost, row.no_cheaper.series.right) == (3, 30, 2)
    assert [rival.comparison.difference for _, rival in row.neighbours] == [0.25, 0]


def test_as_many_samples_as_a_search_has_made_attempts_at_most():
    judged: dict[str, Any] = {"score": -0.5, "passed": False, "verifier_tokens": 5}
    run = [*RUN, *(samples("bon:2:self", number, "5", "4", **judged) for number in range(4))]
    found = analysed(run)
    # The search makes 2, 3, 1 and 1 attempts; right on 1 and 3, as votes of three samples are on 0 and 2.
    votes = equal_cost_of(found, "self", "sc", "attempts")
    ((label, rival),) = votes.neighbours
    assert (votes.cost, label, rival.samples, rival.series.right) == (3, "exactly", 3, 2)
    assert (rival.comparison.questions, rival.comparison.only_first, rival.comparison.only_second) == (
        4,
        2,
        2,
    )
    # Of two judged samples, there is no third.
    best = equal_cost_of(found, "self", "bon:self", "attempts")
    ((label, rival),) = best.neighbours
    assert (best.cost, label, rival.samples, best.no_cheaper) == (3, "at most", 2, None)


def test_best_of_n_at_the_tokens_of_a_search_is_that_of_its_own_reward_and_pays_for_its_verdicts():
    judged: dict[str, Any] = {"score": -0.5, "passed": False, "verifier_tokens": 5}
    run = [*RUN, *(samples("bon:2:self", number, "5", "4", **judged) for number in range(4))]
    run += [samples("bon:3:steps", number, "5", "4", "4", **judged) for number in range(4)]
    found = analysed(run)
    row = equal_cost_of(found, "self", "bon:self", "tokens")
    assert row.no_dearer is not None
    assert row.no_cheaper is not None
    assert [(one.samples, one.cost) for one in (row.no_dearer, row.no_cheaper)] == [(1, 15), (2, 30)]
    assert {(one.search.method, one.rival) for one in found.equal_costs} == {
        ("self", "sc"),
        ("self", "bon:self"),
        ("psrm", "sc"),
    }


def test_computed_tokens_are_compared_where_a_search_has_them():
    def run(cost: float) -> list[Outcome]:
        made = [attempt(place, "4", True, policy_computed_tokens=cost) for place in range(2)]
        return [
            *(outcome("psrm", number, made, 1) for number in range(2)),
            *(samples("sc:3", number, "5", "5", "4", policy_computed_tokens=30.0) for number in range(2)),
        ]

    row = equal_cost_of(analysed(run(40.0)), "psrm", "sc", "computed tokens")
    assert row.cost == 80
    assert [(label, rival.samples) for label, rival in row.neighbours] == [("at most", 2), ("at least", 3)]
    assert {one.kind for one in analysed(run(0.0)).equal_costs} == {"attempts", "tokens"}


def test_a_difference_must_hold_against_both_neighbours():
    # 15 tokens against 10 and 20; right on all 10, one sample on none, two on 9.
    made = [attempt(0, "4", True, policy_tokens=15)]
    search_ = [outcome("self", number, made) for number in range(10)]
    close = [samples("bon:2:self", number, "5", "4" if number else "5") for number in range(10)]
    close = [replace(one, attempts=tuple(map(passed_if_right, one.attempts))) for one in close]
    row = equal_cost_of(analysed(search_ + close), "self", "bon:self", "tokens")
    assert [rival.comparison.finding for _, rival in row.neighbours] == ["better", "no difference shown"]
    assert row.finding == "no difference shown"
    far = [samples("sc:2", number, "5", "5") for number in range(10)]
    assert equal_cost_of(analysed(search_ + far), "self", "sc", "tokens").finding == "better"


def test_better_than_cheaper_samples_is_not_better_at_equal_cost():
    def found(cost: int, *, right: bool) -> EqualCost:
        made = [attempt(0, "4" if right else "5", right, policy_tokens=cost)]
        run = [outcome("self", number, made) for number in range(10)]
        run += [samples("sc:2", number, *["5" if right else "4"] * 2) for number in range(10)]
        return equal_cost_of(analysed(run), "self", "sc", "tokens")

    dear, cheap = found(50, right=True), found(5, right=True)
    assert (dear.no_cheaper, dear.finding) == (None, "not decided")
    assert (cheap.no_dearer, cheap.finding) == (None, "better")
    assert (found(50, right=False).finding, found(5, right=False).finding) == ("worse", "not decided")
    exact = found(20, right=True)
    assert [(label, rival.samples) for label, rival in exact.neighbours] == [("exactly", 2)]
    assert exact.finding == "better"


def test_pairs_are_compared_on_shared_questions_only():
    (group,) = group_outcomes(RUN)
    pairs = {(one.first.method, one.second.method): one for one in group.pairs}
    found = pairs["self", "cot"].comparison
    assert found is not None
    # cot: right on 0; self: right on 1 and 3.
    assert (found.questions, found.only_first, found.only_second, found.difference) == (4, 2, 1, 0.25)
    assert pairs["psrm", "cot"].first.oracle
    assert ("cot", "cot") not in pairs
    fewer = [one for one in RUN if one.key.method == "self" or one.key.problem < 2]
    found = {(one.first.method, one.second.method): one for one in analysed(fewer).pairs}[
        "self", "cot"
    ].comparison
    assert found is not None
    assert found.questions == 2


def test_a_search_is_compared_with_what_differs_from_it_in_one_thing():
    searches = ["agreement", "agreement:latents", "agreement:steps", "combined_program", "steps"]
    searches += ["walk", "walk:steps"]
    run = [samples(method, 0, "4", "5") for method in ("sc:2", "bon:2", "vote:2", "vote:2:steps")]
    run += [search(method, 0, ("5", -0.6, False), ("4", -0.1, True), chosen=1) for method in searches]
    (group,) = group_outcomes(run, LatentSeekConfig.agreement())
    pairs = {(one.first.method, one.second.method) for one in group.pairs}
    controls = {(one, other) for one, other in pairs if not other.startswith(("sc", "bon"))}
    assert controls == {
        ("agreement", "vote:2"),
        ("agreement:latents", "vote:2"),
        ("agreement:latents", "agreement"),
        ("agreement:steps", "vote:2:steps"),
        ("combined_program", "walk"),
        ("steps", "walk:steps"),
    }
    assert {one for one, other in pairs if other == "bon:2"} == {
        *("agreement", "agreement:latents", "combined_program", "walk")
    }


def test_samples_of_a_verified_vote_are_samples_too():
    (group,) = group_outcomes([samples("vote:3", 0, "5", "4", "4"), samples("sc:2", 0, "5", "4")])
    pool = group.pool
    assert pool is not None
    assert (pool.size, [pool.majority(count).right for count in (1, 2, 3)]) == (3, [0, 0, 1])


def test_nothing_in_common():
    (pair,) = analysed([samples("cot", 0, "4"), samples("sc:1", 1, "4")]).pairs
    assert pair.comparison is None


def test_accuracy_over_iterations():
    (self_, psrm) = analysed(RUN).iterations
    # After 0: drafts; after 1 problem 0 is lost; after 2 problem 1 is saved.
    assert [one.right for one in self_] == [2, 1, 2]
    assert [one.mean("policy_tokens") for one in self_] == [10, 15, 17.5]
    assert [one.right for one in psrm] == [1, 2]


def test_why_a_search_ended_is_known_once_it_has_ended():
    made = [attempt(0, "5", False, score=-0.5), attempt(1, "5", False), attempt(2, "5", False)]
    run = [
        outcome("self", 0, made, stop_reason="iterations"),
        outcome("self", 1, made[:2], stop_reason="unjudged"),
    ]
    (points,) = analysed(run).iterations
    assert [one.count("unjudged") for one in points] == [0, 1, 1]


def test_verdicts_against_the_truth():
    agreements = {(one.series.method, one.judge, one.scope): one for one in analysed(RUN).agreements}
    assert {method for method, _, _ in agreements} == {"self", "psrm"}
    counts = agreements["self", "verdict", "all attempts"].counts
    assert [counts[passed, right] for passed in (True, False) for right in (True, False)] == [2, 2, 1, 2]
    drafts = agreements["self", "verdict", "first attempts"]
    # Drafts: right but not passed, wrong and not passed, wrong but passed, right and passed.
    assert (drafts.judged, drafts.agreed, drafts.right, drafts.constant) == (4, 2, 2, 0.5)
    assert agreements["self", "verdict", "all attempts"].agreed == 4
    assert agreements["psrm", "verdict", "all attempts"].agreed == 7


def test_checks_are_judged_by_themselves():
    made = [
        attempt(0, "4", True, passed=True, score=0.0, checks={"steps": None, "self": True}),
        attempt(1, "5", False, passed=True, score=0.0, checks={"steps": False, "self": True}),
    ]
    found = {
        (one.judge, one.scope): one
        for one in analysed([outcome("combined", 0, made)]).agreements
        if one.judged
    }
    assert (found["steps", "all attempts"].judged, found["steps", "all attempts"].agreed) == (1, 1)
    assert (found["self", "all attempts"].judged, found["self", "all attempts"].agreed) == (2, 1)
    assert ("steps", "first attempts") not in found


def test_checks_of_single_equations_are_judged_together():
    """A verifier names its checks after what it found: each text is there once."""
    made = [
        attempt(0, "5", False, passed=False, checks={"equation: 1 + 1 = 3": True, "equation: 2 = 3": False}),
        attempt(1, "6", False, passed=False, checks={"equation: 2 + 2 = 5": True, "equation: 3 = 4": None}),
        attempt(2, "4", True, passed=False, checks={"equation: 2 + 2 = 4": True}),
        attempt(3, "4", True, passed=True, checks={"output: 80": True}),
        attempt(4, "5", False, passed=False, checks={"output: 5\n6": False}),
    ]
    found = [one for one in analysed([outcome("steps", 0, made)]).agreements if one.scope == "all attempts"]
    assert [(one.judge, one.judged, one.agreed) for one in found] == [
        ("verdict", 5, 4),
        ("equation", 2, 2),
        ("output", 2, 2),
    ]


def test_checks_within_a_combination_keep_their_names():
    names = ["StepVerifier: equation: 1 + 1 = 3", "StepVerifier: linked", "SelfReward: answer"]
    made = [attempt(0, "5", False, passed=False, checks=dict.fromkeys(names, False))]
    found = analysed([outcome("combined", 0, made)]).agreements
    judges = ["verdict", "StepVerifier: equation", "StepVerifier: linked", "SelfReward: answer"]
    assert [one.judge for one in found if one.scope == "all attempts"] == judges


def test_what_could_not_be_graded_is_wrong_and_counted():
    made = [attempt(0, "x", None, passed=True, score=0.0)]
    found = analysed([outcome("self", 0, made)])
    assert (found.methods[0].right, found.methods[0].count("ungraded")) == (0, 1)
    assert found.agreements[0].counts == {(True, False): 1}


def test_a_question_that_could_not_be_worked_on_is_wrong():
    made = [attempt(0, None, False, finish_reason="error", text="too long")]
    found = analysed([outcome("sc:3", 0, made), samples("sc:3", 1, "4", "4", "4")])
    assert (found.methods[0].count("failed"), found.methods[0].right, found.methods[0].questions) == (1, 1, 2)
    assert named(found.samples, "sc-3", "first samples").right == 1


def test_answers_are_compared_once_however_many_prefixes(monkeypatch):
    calls = []

    def counted(*given):
        calls.append(given)
        return weighted_votes(*given)

    monkeypatch.setattr(samples_module, "weighted_votes", counted)
    (group,) = group_outcomes([samples("sc:5", 0, "4", "5", "4", "5", "5")])
    pool = SamplePool(group.methods[0])
    assert [pool.majority(count).trials[0].chosen for count in range(1, 6)] == [0, 0, 0, 0, 1]
    assert len(calls) == 1


def test_missing_questions_are_those_of_any_prompt(tmp_path):
    run = [samples("cot", 0, "4"), samples("cot", 1, "4"), samples("sc:1", 0, "4")]
    run.append(outcome("cot", 0, [attempt(0, "4", True)], prompt="json"))
    found = read_run(write_run(tmp_path / "run", run))
    assert found.missing == {("sums", "boxed", "sc:1"): 1, ("sums", "json", "cot"): 1}


def test_each_folder_once_and_models_told_apart(tmp_path):
    first = write_run(tmp_path / "first", [samples("cot", 0, "4")])
    second = write_run(tmp_path / "second", [samples("cot", 0, "4")])
    third = write_run(tmp_path / "third", [samples("cot", 0, "4")], model="another")
    runs = read_runs([first, second, third, tmp_path / "second" / ".." / "first"])
    assert [run.name for run in runs] == ["made-up-model (first)", "made-up-model (second)", "another"]


def test_a_search_that_draws_several_samples_competes_with_as_many():
    tried = [attempt(0, "5", False), attempt(1, "4", True, samples=3)]
    run = [outcome("psrm", 0, tried, 1), samples("sc:4", 0, "5", "5", "5", "4")]
    found = analysed(run)
    ((label, rival),) = equal_cost_of(found, "psrm", "sc", "attempts").neighbours
    assert (label, rival.samples, rival.series.method) == ("exactly", 4, "sc-4")


def test_a_search_is_compared_with_its_control_and_with_best_of_n_under_its_reward():
    names = ["cot", "sc:3", "bon:3", "bon:3:psrm", "walk", "walk:psrm", "self", "combined_program", "psrm"]
    pairs = {
        (pair.first.method, pair.second.method)
        for pair in analysed([samples(name, 0, "4") for name in names]).pairs
    }
    assert {
        ("combined_program", "walk"),
        ("psrm", "walk:psrm"),
        ("combined_program", "bon:3"),
        ("walk", "bon:3"),
    } <= pairs
    assert {("psrm", "bon:3:psrm"), ("walk:psrm", "bon:3:psrm")} <= pairs
    assert not {("self", "walk"), ("self", "bon:3"), ("walk", "walk:psrm"), ("psrm", "bon:3")} & pairs


def test_votes_beside_a_search_are_those_on_its_questions():
    run = [
        search("self", 0, ("5", -0.9, False), ("4", 0.0, True), chosen=1),
        samples("sc:2", 0, "4", "4"),
        *(samples("sc:2", number, "5", "5") for number in range(1, 4)),
    ]
    row = equal_cost_of(analysed(run), "self", "sc", "attempts")
    assert [(rival.series.questions, rival.series.right) for _, rival in row.neighbours] == [(1, 1)]
