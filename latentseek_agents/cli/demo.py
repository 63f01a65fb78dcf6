"""``latentseek demo``: a few questions, the embedded model, and what comes out, right or wrong."""

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from latentseek_agents.cli.display import SearchDisplay, make_console, print_labelled
from latentseek_agents.cli.loading_status import loading
from latentseek_agents.cli.models import EMBEDDED, load_backbone, make_verifier, print_chosen_format
from latentseek_agents.cli.process import command, fast_imports
from latentseek_agents.cli.questions import Question
from latentseek_agents.cli.search import make_search
from latentseek_agents.cli.wording import shown_answer

if TYPE_CHECKING:
    from latentseek_agents.result import LatentSeekResult

# Written before any of them was tried, and kept whatever came out.
_QUESTIONS = (
    Question("What is 6 + 7?", "13"),
    Question("There are 5 red cups and 4 blue cups. How many cups are there?", "9"),
    Question("What is 17 + 25?", "42"),
    Question(
        "A baker fills 7 bags with 6 rolls each and has 5 rolls left. How many rolls did she bake?", "47"
    ),
    Question(
        "Tom has 3 boxes of 12 pencils. He gives 9 pencils away. How many pencils does he have now?", "27"
    ),
    Question("A bus ride takes 35 minutes. How many minutes does Nina ride if she takes 8 rides?", "280"),
    Question(
        "A shirt costs 40 dollars. In the sale it costs 10 dollars less. What do 3 shirts cost then?", "90"
    ),
)


_SETTINGS: dict[str, Any] = {
    "prompt": "example",
    "latents": "consistent",
    "learning_rate": 0.03,
    "fraction": 0.5,
    "max_iterations": 3,
    "max_new_tokens": 100,
    "acceptance": "agreement",
    "keep": "vote",
    "aim": "first_error",
}


_INTRODUCTION = (
    f"{EMBEDDED} answers questions. Its sums are computed again, and a program that it writes for the "
    "question is run; neither knows the answer. A sum that is proved wrong is refuted, and from there on the "
    "text is written anew with the right value, until an answer has won the vote. Scores: 0 is flawless, -1 "
    "refuted; what passes has more than -0.2. Votes: 1 is a full one."
)


@command()
def demo() -> None:
    """Solve seven questions with the embedded model.

    Exit code: 0 if it ran, whatever the answers.
    """
    began = time.monotonic()
    console = make_console()
    with loading(console, EMBEDDED):
        with fast_imports():
            from latentseek_agents.config import LatentSeekConfig
            from latentseek_agents.tools.named import DEFAULT_VERIFIERS
        config = LatentSeekConfig(**_SETTINGS)
        backbone = load_backbone(fastest=True)
        verifier = make_verifier(DEFAULT_VERIFIERS, backbone, config)
    console.print(Text(_INTRODUCTION, style="dim"), soft_wrap=not console.is_terminal)
    print_chosen_format(console, None, backbone)
    counts: Counter[str] = Counter()
    for number, question in enumerate(_QUESTIONS, start=1):
        console.print()
        console.print(Text(f"{number}. {question.text}", style="bold"), soft_wrap=not console.is_terminal)
        with SearchDisplay(console, backbone.decode, config.max_iterations, show_text=True) as display:
            # Without its reference: neither the model nor the verifier is to see the answer.
            result = make_search(backbone, verifier, config, [display])(Question(question.text))
        draft_is_right, is_right = _compare(console, result, str(question.reference))
        passed = result.passed is True
        counts.update(drafts=draft_is_right, finals=is_right, verified=passed, rightly=passed and is_right)
    _conclude(console, counts, time.monotonic() - began)


def _compare(console: Console, result: "LatentSeekResult", known: str) -> tuple[bool, bool]:
    """Print whether the draft and the final answer are right, and return both."""
    with fast_imports():
        from latentseek_agents.tools.answers import answers_match
    answers = (result.iterations[0].answer, result.answer)
    draft, final = (answer is not None and answers_match(answer, known) for answer in answers)
    words = [("right", "bold green") if is_right else ("wrong", "bold red") for is_right in (draft, final)]
    said: list[str | tuple[str, str]] = [(shown_answer(result.answer), "bold"), ", ", words[1]]
    said += [f" (it is {known})"] if not final else []
    if len(result.iterations) > 1:
        said += ["; the draft was ", words[0]]
    print_labelled(console, "answer", *said, style="bold")
    return draft, final


def _conclude(console: Console, counts: "Counter[str]", seconds: float) -> None:
    total = len(_QUESTIONS)
    wrap = not console.is_terminal
    console.print()
    console.print(
        f"Right: {counts['drafts']} of {total} drafts, {counts['finals']} of {total} final answers. "
        f"Verified: {counts['verified']}, of which {counts['rightly']} right. {seconds:.0f} s in all.",
        soft_wrap=wrap,
    )
    console.print(
        "This shows how a search runs and is no benchmark: a model of 135M parameters seldom finds the "
        "answer, and a verifier that checks sums can accept right sums for a wrong plan.",
        soft_wrap=wrap,
    )
    console.print('Next: latentseek solve "a question of yours", and latentseek doctor.', soft_wrap=wrap)
