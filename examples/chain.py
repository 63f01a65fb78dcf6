"""A latent search in a LangChain chain: a prompt before it, a parser behind it.

Run it with ``python examples/chain.py``; it uses the embedded model.
"""

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig, LatentSeekResult


def answer_of(result: LatentSeekResult) -> str:
    """The parser: the answer, marked if it was not verified."""
    answer = result.answer or result.text
    return answer if result.passed else f"{answer} (not verified)"


def build(seek: LatentSeek) -> Runnable[dict[str, str], str]:
    """Prompt, search, parser."""
    prompt = ChatPromptTemplate.from_messages(
        [("human", "A pen costs {price} dollars. How much do {count} pens cost?")]
    )
    return prompt | seek | RunnableLambda(answer_of)


if __name__ == "__main__":
    from latentseek_agents.tools import StepVerifier

    config = LatentSeekConfig(
        latents="consistent", fraction=0.5, max_iterations=4, max_new_tokens=120, refine_unjudged=True
    )
    chain = build(LatentSeek(Backbone.embedded(), verifier=StepVerifier(), config=config))
    print(chain.invoke({"price": "3", "count": "4"}))
