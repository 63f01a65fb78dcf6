"""A latent search in a LangChain chain: a prompt before it, an output parser behind it.

    python examples/chain.py

The parser takes text, as it would from any model, and gives a number. What the search knows besides (was
the answer verified, how many iterations did it take) comes along in a second branch.
"""

from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from small_model import settings

from latentseek_agents import Backbone, LatentSeek, LatentSeekResult
from latentseek_agents.tools import StepVerifier, extract_answer


class PriceParser(BaseOutputParser[float]):
    """The final answer of a solution as a number."""

    def parse(self, text: str) -> float:
        """Find it; a text without one is an error, which LangChain's retries and fallbacks know."""
        answer = extract_answer(text)
        try:
            return float(answer or "")
        except ValueError:
            raise OutputParserException(f"no price: {text!r} ends with {answer!r}", llm_output=text) from None


def text_of(result: LatentSeekResult) -> str:
    """What the parser reads."""
    return result.text


def about(result: LatentSeekResult) -> str:
    """What a careful caller wants to know."""
    verdict = "verified" if result.passed else "not verified"
    return f"{verdict}, attempt {len(result.iterations)}"


def build(seek: LatentSeek) -> Runnable[dict[str, Any], dict[str, Any]]:
    """Prompt, search, parser."""
    prompt = PromptTemplate.from_template("A pen costs {price} dollars. How much do {count} pens cost?")
    price = RunnableLambda(text_of) | PriceParser()
    return prompt | seek | RunnableParallel(price=price, about=RunnableLambda(about))


def main() -> None:
    """Two questions at once: they share forward passes."""
    chain = build(LatentSeek(Backbone.embedded(), verifier=StepVerifier(), config=settings()))
    orders = [{"price": 3, "count": 4}, {"price": 3, "count": 12}]
    for order, found in zip(orders, chain.batch(orders), strict=True):
        print(f"{order['count']} pens: {found['price']:g} dollars ({found['about']})")


if __name__ == "__main__":
    main()
