"""The page that shows searches: all that matters is on it, and nothing of the model's text is markup."""

import copy
import gc
import pickle
import re
import weakref
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from typing import Any

import pytest

from latentseek_agents import LatentSeek, LatentSeekConfig, Verdict
from latentseek_agents._html import STYLE, html_page
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.runnable import LatentSeekResult
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_backbone

CONFIG = LatentSeekConfig(max_new_tokens=12, fraction=0.5, learning_rate=1.0, max_iterations=3)


class Elements(HTMLParser):
    """Collects elements, and checks that they are nested as they should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "line", "polyline") or self.open[-1:] == ["svg"]:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    assert elements.open == []
    return elements


@pytest.fixture
def result(tiny: Backbone) -> LatentSeekResult:
    return LatentSeek(tiny, verifier=ScriptedVerifier([-1, -0.5, 0]), config=CONFIG).invoke("What is 2 + 2?")


def page_of(tiny: Backbone, *results: LatentSeekResult, **options: Any) -> str:
    return html_page([result.to_dict() for result in results], tiny.decode, **options)


def test_every_iteration_its_score_and_its_changed_latents(tiny: Backbone, result: LatentSeekResult):
    page = page_of(tiny, result)
    elements = parsed(page)
    assert elements.count("details") == len(result.iterations) == 3
    assert sum("open" in attributes for tag, attributes in elements.seen if tag == "details") == 1
    assert elements.count("circle") == 3
    changed = sum(len(attempt.changed) for attempt in result.iterations)
    assert changed > 0
    assert elements.count("mark") == changed
    for shown in ("What is 2 + 2?", "-0.50</span>", "attempt 2", "1 of 1 verified", "✓ passed"):
        assert shown in page


def test_the_texts_of_model_and_user_are_no_markup(tiny: Backbone, result: LatentSeekResult):
    evil = '</pre><script>alert("x")</script><img src=x onerror=y>'
    attempts = [
        replace(attempt, text=evil, reason=evil, latent_token_ids=[60]) for attempt in result.iterations
    ]
    page = html_page(
        [replace(result, question=evil, answer=evil, text=evil, iterations=attempts).to_dict()],
        lambda _: evil,
        title=evil,
    )
    elements = parsed(page)
    assert elements.count("script") == elements.count("img") == 0
    assert "<script" not in page


def test_refuted_equations_are_marked_with_their_reason(tiny: Backbone, result: LatentSeekResult):
    text = "First 3 * 24 = 71. Then 71 + 1 = 72 & so on."
    attempts = [replace(attempt, text=text, changed=[]) for attempt in result.iterations[:1]]
    elements = parsed(page_of(tiny, replace(result, text=text, iterations=attempts)))
    (mark,) = [attributes for tag, attributes in elements.seen if tag == "mark"]
    assert mark["class"] == "wrong"
    assert "72" in (mark["title"] or "")


def test_nothing_is_loaded_from_elsewhere(tiny: Backbone, result: LatentSeekResult):
    page = page_of(tiny, result, result)
    assert "http" not in page.replace("http-equiv", "")
    assert parsed(page).count("section") == 2


def test_attempts_without_verdict_and_no_searches(tiny: Backbone, result: LatentSeekResult):
    unjudged = [replace(attempt, score=None, passed=None) for attempt in result.iterations]
    page = page_of(tiny, replace(result, passed=None, score=None, iterations=unjudged))
    assert "not judged" in page
    assert parsed(page).count("svg") == 0
    assert "0 of 0 verified" in page_of(tiny)


def test_a_result_makes_its_own_page(tiny: Backbone, result: LatentSeekResult):
    assert result.to_html(tiny.decode) == page_of(tiny, result)
    own = partial(tiny.decode, skip_special_tokens=False)
    assert result.to_html() == html_page([result.to_dict()], own)


def test_a_notebook_shows_a_result_and_nothing_of_its_style_leaks(tiny: Backbone, result: LatentSeekResult):
    shown = result._repr_html_()
    assert parsed(shown).count("mark") == sum(len(attempt.changed) for attempt in result.iterations)
    rules = re.sub(r"@media [^{]*", "", STYLE)
    selectors = [
        part for rule in re.findall(r"([^{}]+)\{", rules) for part in rule.split(",") if part.strip()
    ]
    assert len(selectors) > 30
    assert all(".latentseek" in selector for selector in selectors)


def test_copies_and_pickles_know_no_model(result: LatentSeekResult):
    pickled = pickle.loads(pickle.dumps(result))  # noqa: S301
    for copied in (pickled, copy.deepcopy(result), replace(result)):
        assert copied == result
        assert "since the attempt before" in copied._repr_html_()
        assert parsed(copied.to_html()).count("mark") == 0
    backbone = tiny_backbone()
    left = LatentSeek(backbone, verifier=ScriptedVerifier([-1, 0]), config=CONFIG).invoke("What is 2 + 2?")
    model = weakref.ref(backbone)
    del backbone
    gc.collect()
    assert model() is None, "a result keeps its model alive"
    assert parsed(left.to_html()).count("mark") == 0


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0], "Returned: draft. The verifier accepts it."),
        ([-1, 0], "Returned: attempt 1. The verifier accepts it."),
        (
            [-1, -0.5, -0.5],
            "Returned: attempt 1. None passed and its score is the highest, the first of 3 equal.",
        ),
        ([-0.3, -0.5], "Returned: draft. None passed and its score is the highest."),
    ],
)
def test_which_attempt_was_returned_and_why(tiny: Backbone, scores: list[float], said: str):
    result = LatentSeek(tiny, verifier=ScriptedVerifier(scores), config=CONFIG).invoke("What is 2 + 2?")
    assert said in page_of(tiny, result)


def test_the_last_attempt_is_returned_where_that_is_asked_for(tiny: Backbone):
    config = CONFIG.replace(keep="last")
    result = LatentSeek(tiny, verifier=ScriptedVerifier([-0.3, -0.5]), config=config).invoke("What is 2 + 2?")
    assert "Returned: attempt 3. The configuration asks for it." in page_of(tiny, result)


def elected(tiny: Backbone, printed: str | None) -> LatentSeekResult:
    """A search whose attempts vote for 8, 12 and 12, and the program for 12; or for what they print."""
    answers = iter(["8", "12", "12"])

    class Judge:
        def prepare(self, question: str) -> str:
            return "12"

        def prepared_answer(self, value: str) -> str:
            return value

        def __call__(self, question: str, solution: str, **_: Any) -> Verdict:
            return Verdict(-0.5, False, "<b>", computed_answer=printed)

    config = LatentSeekConfig.agreement(max_iterations=2, max_new_tokens=64, proposals="samples")
    backbone = scripted_backbone([f"The answer is {answer}." for answer in answers])
    return LatentSeek(backbone, Judge(), config).invoke("How many?")


def test_the_votes_are_shown_with_who_gave_them(tiny: Backbone):
    page = page_of(tiny, elected(tiny, None))
    parsed(page)
    assert "Returned: attempt 1. Its answer won the vote, with a weight of 0.95." in page
    assert "<td>12</td><td>0.95</td>" in page
    assert "attempt 1 0.22, attempt 2 0.22, program 0.50" in page
    assert "<td>8</td><td>0.22</td>" in page
    assert page.count('class="tag">returned') == 1


def test_a_correction_of_ours_is_shown_as_such(tiny: Backbone):
    page = page_of(tiny, elected(tiny, "72"))
    parsed(page)
    assert "No solution states the answer that won the vote; we add it at the end of this one." in page
    assert "added by us at the end of the solution" in page
    assert "[Checked: the program above prints 72, not 8.]" in page


def test_several_attempts_of_one_iteration_have_names_of_their_own(tiny: Backbone):
    config = LatentSeekConfig.agreement(
        max_iterations=1, max_new_tokens=64, proposals="samples", num_samples=2
    )
    backbone = scripted_backbone([f"The answer is {answer}." for answer in (1, 2, 2)])
    verifier = ScriptedVerifier([-0.9, -0.5, -0.5])
    page = page_of(tiny, LatentSeek(backbone, verifier, config).invoke("How many?"))
    parsed(page)
    assert "attempt 1 (1) 0.22, attempt 1 (2) 0.22" in page


def test_many_searches_have_an_overview(tiny: Backbone, result: LatentSeekResult):
    elements = parsed(page_of(tiny, *[result] * 4))
    targets = [attributes["href"] for tag, attributes in elements.seen if tag == "a"]
    assert targets == [f"#{attributes['id']}" for tag, attributes in elements.seen if tag == "section"]
    assert parsed(page_of(tiny, result)).count("a") == 0
