"""The page that shows searches: all that matters is on it, and nothing of the model's text is markup."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from latentseek_agents import LatentSeek, LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.html_page import html_page
from latentseek_agents.runnable import LatentSeekResult
from latentseek_agents.testing import ScriptedVerifier

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
    return html_page(results, tiny.decode, **options)


def test_every_iteration_its_score_and_its_changed_latents(tiny: Backbone, result: LatentSeekResult):
    page = page_of(tiny, result)
    elements = parsed(page)
    assert elements.count("details") == len(result.iterations) == 3
    assert sum("open" in attributes for tag, attributes in elements.seen if tag == "details") == 1
    assert elements.count("circle") == 3
    changed = sum(len(attempt.changed) for attempt in result.iterations)
    assert changed > 0
    assert elements.count("mark") == changed
    for shown in ("What is 2 + 2?", "score -0.50", "iteration 2", "1 of 1 verified", "✓ passed"):
        assert shown in page


def test_the_texts_of_model_and_user_are_no_markup(tiny: Backbone, result: LatentSeekResult):
    evil = '</pre><script>alert("x")</script><img src=x onerror=y>'
    attempts = [
        replace(attempt, text=evil, reason=evil, latent_token_ids=[60]) for attempt in result.iterations
    ]
    page = html_page(
        [replace(result, question=evil, answer=evil, text=evil, iterations=attempts)],
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
