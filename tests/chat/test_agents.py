"""ChatLatentSeek in LangChain's own agents: their loop, their streams, their structured output."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessageChunk, HumanMessage
from pydantic import BaseModel

from latentseek_agents import ChatLatentSeek
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
from tests.chat.test_standard import hermes_tokenizer
from tests.support.chat_cases import CALL, add


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


@pytest.mark.parametrize("verifier", [None, ScriptedVerifier([0.0])])
async def test_create_agent(verifier: Any) -> None:
    backbone = scripted_backbone([CALL, "It is 3."], hermes_tokenizer())
    agent: Any = create_agent(
        ChatLatentSeek(backbone=backbone, verifier=verifier), tools=[add], system_prompt="Be brief."
    )
    streamed = ""
    async for mode, part in agent.astream(
        {"messages": [HumanMessage("1 + 2?")]}, stream_mode=["messages", "values"]
    ):
        if mode == "values":
            messages = part["messages"]
        elif isinstance(part[0], AIMessageChunk):
            streamed += str(part[0].content)
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert (messages[2].content, messages[3].content, streamed) == ("3", "It is 3.", "It is 3.")
    assert messages[3].response_metadata.get("passed") is (None if verifier is None else True)


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
def test_create_agent_with_a_response_format(strategy: Any) -> None:
    prompts: list[str] = []
    last = '{"a": 1, "b": 2}'
    if strategy is ToolStrategy:
        last = f'<tool_call>\n{{"name": "Sum", "arguments": {last}}}\n</tool_call>'
    replies = iter([CALL, last])

    def script(prompt: str) -> str:
        prompts.append(prompt)
        return next(replies)

    chat = ChatLatentSeek(backbone=scripted_backbone(script, hermes_tokenizer()))
    agent: Any = create_agent(chat, tools=[add], response_format=strategy(Sum))
    result = agent.invoke({"messages": [HumanMessage("1 + 2?")]})
    assert result["structured_response"] == Sum(a=1, b=2)
    if strategy is ProviderStrategy:
        # The schema itself, and not the envelope of OpenAI's API, which has a name as well.
        assert '"strict"' not in prompts[0]
        assert 'JSON schema:\n{"description": "A sum."' in prompts[0]
