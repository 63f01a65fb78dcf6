"""A search in a LangChain chain: a prompt before it, an output parser behind it.

python examples/chain.py
"""

from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.tools import extract_answer


class PriceParser(BaseOutputParser[float]):
    """The final answer of a solution as a number."""

    def parse(self, text: str) -> float:
        """Without a number it is an error that LangChain's retries and fallbacks know."""
        answer = extract_answer(text)
        try:
            return float((answer or "-").lstrip("$").split()[0])  # "12 dollars", too
        except ValueError:
            raise OutputParserException(f"no price: {text!r} ends with {answer!r}", llm_output=text) from None


def build(seek: LatentSeek) -> Runnable[dict[str, Any], dict[str, Any]]:
    """The parser reads the solution, as it would that of any model; a second branch keeps the verdict."""
    prompt = PromptTemplate.from_template("A pen costs {price} dollars. How much do {count} pens cost?")
    price = RunnableLambda(lambda result: result.text) | PriceParser()
    return prompt | seek | RunnableParallel(price=price, passed=RunnableLambda(lambda result: result.passed))


if __name__ == "__main__":
    orders = [{"price": 3, "count": 4}, {"price": 3, "count": 12}]  # together: they share forward passes
    chain = build(LatentSeek(Backbone.embedded(), config=LatentSeekConfig.agreement(prompt="example")))
    for order, found in zip(orders, chain.batch(orders, return_exceptions=True), strict=True):
        print(f"{order['count']} pens: {found}")
