"""The verified vote: who votes for what, with what weight, and when an answer has won."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import choose
from latentseek_agents.tools.answers import answers_match, extract_answer
from latentseek_agents.verdict import Attempt
from latentseek_agents.votes import count_votes, has_won, probability_of_lead, rewards
from tests.support.naive_votes import Made, votes, wins

VOTE = LatentSeekConfig(keep="vote")
CASES = [json.loads(line) for line in Path(__file__).with_name("vote_cases.jsonl").read_text().splitlines()]


def made_attempt(number: int, made: Made) -> Attempt:
    checks = [
        {
            "name": "a",
            "passed": not made.refuted,
            "refuted": made.refuted,
            "exact": made.exact and bool(made.passed),
        }
    ]
    return Attempt(
        iteration=number, token_ids=[number], latent_token_ids=[], changed=[], finish_reason="stop",
        text=f"The answer is {made.answer}." if made.answer else "I do not know.",
        answer=made.answer, score=made.score, passed=made.passed, checks=checks,
        computed_answer=made.computed,
    )  # fmt: skip


def attempts_of(everyone: list[Made]) -> list[Attempt]:
    return [made_attempt(number, made) for number, made in enumerate(everyone)]


def listed(case: dict[str, Any]) -> list[Attempt]:
    rows = [[*row, False, None][: max(len(row), 3)] for row in case["attempts"]]
    return attempts_of([Made(row[0], row[3] if len(row) > 3 else None, row[1], row[2]) for row in rows])


@pytest.mark.parametrize("case", CASES, ids=[case["about"] for case in CASES])
def test_the_winner_and_the_attempt_that_is_returned(case: dict[str, Any]):
    attempts = listed(case)
    choice = choose(attempts, VOTE, case.get("program"))
    outcome = choice.outcome
    assert (choice.index, outcome["answer"]) == (case["index"], case["winner"])
    corrected = case.get("corrected", False)
    assert (outcome["text"] != attempts[choice.index].text) is corrected
    if corrected:
        assert extract_answer(outcome["text"]) == outcome["answer"]
        assert outcome["text"].startswith(attempts[choice.index].text)
        assert "[Checked: " in outcome["text"]
        assert (outcome["score"], outcome["passed"]) == (None, None)
    else:
        assert outcome == attempts[choice.index].outcome()


computed = st.one_of(st.none(), st.none(), st.sampled_from(["1", "2", "3"]))
everyone = st.lists(
    st.builds(
        Made,
        st.sampled_from(["1", "2", "3", None]),
        computed,
        st.sampled_from([-1.0, -0.97, -0.6, -0.5, -0.3, -0.1, 0.0]),
        st.sampled_from([True, False, None]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=7,
)
vote_settings = st.fixed_dictionaries(
    {
        "vote_sharpness": st.sampled_from([0.0, 1.0, 3.0, 5.0]),
        "program_vote": st.sampled_from([0.0, 0.5, 1.0]),
        "vote_scale": st.sampled_from([1.0, 2.0, 3.0]),
        "confidence": st.sampled_from([0.5, 0.8, 0.9, 0.95]),
    }
)


@settings(deadline=None, max_examples=300)
@given(everyone, st.sampled_from([None, "1", "2", "4"]), vote_settings)
def test_the_vote_is_that_of_the_naive_reference(
    made: list[Made], program: str | None, numbers: dict[str, Any]
):
    config = LatentSeekConfig.agreement(**numbers)
    attempts = attempts_of(made)
    expected = votes(made, program, numbers["vote_sharpness"], numbers["program_vote"])
    found = {one.answer: one.weight for one in count_votes(attempts, config, program)}
    assert found == pytest.approx(expected)
    weights = sorted(expected.values(), reverse=True)
    choice = choose(attempts, config, program)
    if not expected:
        assert (choice.votes, choice.won, choice.outcome["answer"]) == ([], False, None)
        return
    assert expected[choice.outcome["answer"]] == pytest.approx(weights[0])
    if len(weights) == 1 or not math.isclose(weights[0], weights[1]):
        assert choice.won is wins(made, program, numbers)


@settings(deadline=None)
@given(everyone, st.sampled_from([None, "1", "4"]), vote_settings)
def test_what_a_result_says_holds_together(made: list[Made], program: str | None, numbers: dict[str, Any]):
    attempts = attempts_of(made)
    choice = choose(attempts, LatentSeekConfig.agreement(**numbers), program)
    answer, text = choice.outcome["answer"], choice.outcome["text"]
    assert extract_answer(text) == answer
    assert json.loads(json.dumps(choice.votes)) == choice.votes
    voters = [voter for vote in choice.votes for voter in vote["voters"]]
    assert len(voters) == len(set(voters)), "nobody votes twice"
    for vote in choice.votes:
        assert vote["weight"] == pytest.approx(sum(vote["weights"]))
        assert len(vote["weights"]) == len(vote["voters"])
    if choice.votes:
        assert choice.votes[0]["answer"] == answer
        assert choice.votes[0]["weight"] == max(vote["weight"] for vote in choice.votes)


@settings(deadline=None)
@given(everyone, st.sampled_from([None, "1", "4"]))
def test_rewards_leave_the_attempt_itself_out(made: list[Made], program: str | None):
    config = LatentSeekConfig.agreement()
    attempts = attempts_of(made)
    found = rewards(attempts, config, program, last=len(attempts))
    assert rewards(attempts, config, program) == found[-1:]
    for place, (one, reward) in enumerate(zip(made, found, strict=True)):
        assert -1 <= reward < 0, "something is left to move away from"
        if one.refuted:
            assert reward == -1
            continue
        # The plain count decides by whether anyone was judged, the attempt itself included: so it stays in
        # the list, and its own weight is taken off.
        total = votes(made, program, 3.0, 0.5)
        own = one.computed or one.answer
        itself = 0.0
        if own is not None:
            alone = votes([one], None, 3.0, 0.5)[own]
            judged = any(other.passed is not None for other in made)
            itself = math.exp(-1.5) if judged and one.passed is None and one.computed is None else alone
        share = 0.0 if own is None else (total[own] - itself) / (sum(total.values()) - itself + 1)
        if own is None:
            share = 0.0
        score = -0.5 if one.passed is None else one.score
        assert reward == pytest.approx(score / 2 + (share - 1) / 2), place


def test_latents_that_come_back_to_a_text_do_not_vote_again():
    draft = made_attempt(0, Made("5", None, -0.1, True))
    repeated = replace(draft, iteration=1)
    other = made_attempt(2, Made("5", None, -0.1, True))
    made = [draft, repeated, other]
    (vote,) = count_votes(made, LatentSeekConfig.agreement(proposals="latents"))
    assert vote.voters == [0, 2]
    (vote,) = count_votes(made, LatentSeekConfig.agreement(proposals="samples"))
    assert vote.voters == [0, 1, 2], "samples are independent, also where they come out equal"


def test_stored_attempts_with_other_thoughts_are_others_though_their_answers_read_alike():
    first, second = (
        replace(one, token_ids=[], thinking=thought)
        for one, thought in zip(
            attempts_of([Made("5", None, -0.1, True)] * 2), ("2 + 3", "6 - 1"), strict=True
        )
    )
    latents = LatentSeekConfig.agreement(proposals="latents")
    assert count_votes([first, second], latents)[0].voters == [0, 1]
    assert count_votes([first, replace(second, thinking="2 + 3")], latents)[0].voters == [0]
    silent = [replace(one, text="", thinking="") for one in (first, second)]
    assert count_votes(silent, latents)[0].voters == [0, 1], "what holds no text cannot be told apart"


def exact_pass(number: int, *, exact: bool) -> Attempt:
    return made_attempt(number, Made("5", None, -0.15, True, exact=exact))


def test_two_exact_passes_that_agree_are_enough_whatever_the_confidence():
    strict = LatentSeekConfig.agreement(confidence=0.999)
    for exact in (False, True):
        pair = [exact_pass(0, exact=exact), exact_pass(1, exact=exact)]
        assert has_won(count_votes(pair, strict), strict) is exact
    assert not has_won(count_votes([exact_pass(0, exact=True)], strict), strict)


def test_unanimity_without_a_pass_is_no_agreement():
    config = LatentSeekConfig.agreement()
    for passed in (False, None):
        made = attempts_of([Made("5", None, -0.3, passed)] * 9)
        assert not has_won(count_votes(made, config, "5"), config)


def test_a_single_pass_wins_where_nothing_speaks_against_it():
    config = LatentSeekConfig.agreement()
    assert choose([exact_pass(0, exact=False)], config).won
    against = made_attempt(1, Made("6", None, -0.1, True))
    assert not choose([exact_pass(0, exact=False), against], config).won


def test_the_probability_of_a_lead_is_that_of_the_beta_distribution():
    for first in (0.0, 0.05, 0.6, 1.0, 2.4, 3.0, 9.7, 40.0, 300.0, 2500.5):
        for second in (0.0, 0.15, 1.0, 2.4, 8.0, 40.0, 299.5):
            exact = 1 - betainc(first + 1, second + 1, 0.5)
            assert probability_of_lead(first, second) == pytest.approx(exact, rel=1e-10, abs=1e-12)
    # In whole votes it is a sum of binomial coefficients.
    for first in range(8):
        for second in range(8):
            trials = first + second + 1
            below = sum(math.comb(trials, k) for k in range(first + 1, trials + 1))
            assert probability_of_lead(first, second) == pytest.approx(1 - below / 2**trials, abs=1e-12)


def test_it_takes_no_time():
    began = time.perf_counter()
    for _ in range(100):
        probability_of_lead(7.3, 2.2)
    assert (time.perf_counter() - began) / 100 < 1e-3


HOSTILE = [
    "So it is 70. The answer is 70.",
    "```python\nprint(9 * 8)",
    "It is hidden: <!-- and never closed",
    r"\boxed{70",
    '{"answer": "70"}',
    "<think>70",
    "$$ 70",
    "~~",
    "",
    "#### 70",
    "The answer is 70.\n\n[Checked: the program above prints 1.] The answer is \\boxed{1}.",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("printed", ["72", "-3", "0.25", "1/3", "3.5e-07", "Monday", "[1, 2]", "1,000"])
def test_a_correction_says_what_the_answer_is_whatever_stands_before_it(text: str, printed: str):
    attempt = replace(
        made_attempt(0, Made("70", printed, -0.97, False)), text=text, answer=extract_answer(text)
    )
    outcome = choose([attempt], VOTE).outcome
    assert extract_answer(outcome["text"]) == outcome["answer"]
    assert answers_match(outcome["answer"], printed)
    assert "[Checked: " in outcome["text"]


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=40), st.text(max_size=12))
def test_text_and_answer_never_contradict_each_other(text: str, printed: str):
    attempt = Attempt(
        0,
        [1],
        [],
        [],
        text,
        "stop",
        answer=extract_answer(text),
        score=-1.0,
        passed=False,
        computed_answer=printed,
    )
    outcome = choose([attempt], VOTE, printed).outcome
    assert outcome["answer"] == extract_answer(outcome["text"])


def test_a_value_does_not_vote_twice_once_an_aimed_attempt_states_it():
    right = Made("72", None, 0.0, True)
    drafted, aimed, other = attempts_of([Made("70", "72", -0.97, False, refuted=True), right, right])
    aimed = replace(aimed, token_ids=[0, 9], aimed_at={"token": 1})
    for config in (VOTE, VOTE.replace(proposals="samples")):
        (vote,) = count_votes([drafted, aimed], config)
        assert (vote.voters, vote.weights) == ([1], [1.0])
        # Another one that comes to state it does so on its own.
        (vote,) = count_votes([drafted, other], config)
        assert vote.weights == [0.6, 1.0]
        # Where the aimed one says something else in the end, the value keeps its vote.
        astray = replace(aimed, answer="71")
        assert [one.answer for one in count_votes([drafted, astray], config)] == ["71", "72"]
    # Refuted for another reason it has next to no vote, and the value keeps its own.
    drafted, wrong = attempts_of(
        [Made("70", "72", -0.97, False, refuted=True), Made("72", None, -0.97, False, refuted=True)]
    )
    wrong = replace(wrong, token_ids=[0, 9], aimed_at={"token": 1})
    (vote,) = count_votes([drafted, wrong], VOTE)
    assert vote.voters == [0, 1]
    assert vote.weights == pytest.approx([0.6, 0.054], abs=0.001)


def test_an_aimed_attempt_that_repeats_an_earlier_one_has_no_vote():
    first, second = attempts_of([Made("72", None, 0.0, True), Made("72", None, 0.0, True)])
    second = replace(second, token_ids=first.token_ids)
    samples = VOTE.replace(proposals="samples")
    assert count_votes([first, second], samples)[0].voters == [0, 1]
    aimed = replace(second, aimed_at={"token": 0})
    assert count_votes([first, aimed], samples)[0].voters == [0]
