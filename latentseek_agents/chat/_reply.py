"""A finished reply as a LangChain message, whole or as the last chunk of a stream."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk

from latentseek_agents.chat._history import WRITTEN
from latentseek_agents.chat._tool_calls import ParsedReply
from latentseek_agents.verdict import Attempt


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A finished reply and its costs.

    Args:
        parsed: Content and calls.
        reasoning: What it thought before it answered. LangChain's standard content blocks have it as a
            block of the type "reasoning", before the text.
        reasoning_tokens: Those of ``output_tokens`` that were thoughts, of all attempts of a search.
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens generated in all, those of the verifier included.
        details: Other parts of ``output_tokens``.
        metadata: Plain values for ``response_metadata``.
    """

    parsed: ParsedReply
    reasoning: str = ""
    reasoning_tokens: int = 0
    input_tokens: int
    output_tokens: int
    details: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, Any]

    def message(self) -> AIMessage:
        """The whole message."""
        return AIMessage(
            self.parsed.content,
            tool_calls=self.parsed.tool_calls,
            invalid_tool_calls=self.parsed.invalid_tool_calls,
            additional_kwargs=self._additional(),
            response_metadata=self.metadata,
            usage_metadata=self._usage(),
        )

    def last_chunk(self, shown: str = "", *, thought: str = "", blocks: int = 0) -> AIMessageChunk:
        """What was not shown yet of content and thoughts, with calls, costs and metadata.

        Args:
            shown: What was shown of the content.
            thought: What was shown of the thoughts.
            blocks: As how many blocks, one after the other.
        """
        calls = [
            (call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"])
            for call in self.parsed.tool_calls
        ]
        calls += [
            (call["name"] or "", call["args"] or "", call["id"]) for call in self.parsed.invalid_tool_calls
        ]
        content, reasoning = _rest(self.parsed.content, shown), _rest(self.reasoning, thought)
        additional = self._additional()
        additional.pop("reasoning_content", None)
        if reasoning:
            additional["reasoning_content"] = reasoning
        # Wherever content becomes a list of blocks, those of text and thoughts have the first indices.
        first = max(1, blocks + bool(content) + bool(reasoning))
        return AIMessageChunk(
            content=content,
            tool_call_chunks=[
                tool_call_chunk(name=name, args=args, id=call_id, index=first + i)
                for i, (name, args, call_id) in enumerate(calls)
            ],
            additional_kwargs=additional,
            response_metadata=self.metadata,
            usage_metadata=self._usage(),
            chunk_position="last",
        )

    def _additional(self) -> dict[str, Any]:
        texts = {"reasoning_content": self.reasoning, WRITTEN: self.parsed.written}
        return {name: text for name, text in texts.items() if text}

    def _usage(self) -> UsageMetadata:
        usage = UsageMetadata(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            total_tokens=self.input_tokens + self.output_tokens,
        )
        details = self.details | ({"reasoning": self.reasoning_tokens} if self.reasoning_tokens else {})
        if details:
            # LangChain adds up whatever numbers stand there, under names of the provider's choice.
            usage["output_token_details"] = cast("OutputTokenDetails", details)
        return usage


class Shown:
    """What a stream has shown of a reply so far.

    Attributes:
        text: Of its content.
        thinking: Of what was thought.
        blocks: How many blocks these are, one after the other.
    """

    def __init__(self) -> None:
        self.text = ""
        self.thinking = ""
        self.blocks = 0
        self._last = ""

    def add(self, kind: Literal["text", "thinking"], piece: str) -> None:
        """Record a piece."""
        self.blocks += kind != self._last
        self._last = kind
        if kind == "text":
            self.text += piece
        else:
            self.thinking += piece


def _rest(whole: str, shown: str) -> str:
    # Nothing is shown twice, should the two ever differ.
    return whole[len(shown) :] if whole.startswith(shown) else ""


def iteration_metadata(attempt: Attempt, text: str) -> dict[str, Any]:
    """One iteration of a search for ``response_metadata``.

    Args:
        attempt: The attempt.
        text: Its text, up to the first stop sequence.
    """
    names = ("iteration", "answer", "score", "passed", "reason", "checks", "finish_reason", "changed")
    return {"thinking": attempt.thinking, "text": text, **{name: attempt[name] for name in names}}
