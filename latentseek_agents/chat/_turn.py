"""One turn of the model: render, write, refine if asked, and take the reply apart."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.errors import GraphBubbleUp

from latentseek_agents._inputs import last_question
from latentseek_agents.chat._rendering import RenderedPrompt, render
from latentseek_agents.chat._reply import Reply, iteration_metadata
from latentseek_agents.chat._text_stream import Detokenizer, StopMatcher, hidden_token_ids
from latentseek_agents.chat._tool_calls import (
    CALL_TOKENS,
    ParsedReply,
    certain_content,
    new_call_id,
    parse_tool_calls,
)
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, TokenConstraint, decode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import Cancelled
from latentseek_agents.loop import Search, draft, run
from latentseek_agents.verdict import Attempt, Usage, Verdict, VerifierLike

__all__ = ["Turn", "TurnRequest"]


class _StopFound(BaseException):
    """The text has reached a stop sequence, so the rest need not be decoded."""


@dataclass(frozen=True, kw_only=True)
class TurnRequest:
    """All that a reply depends on.

    Args:
        backbone: The model.
        messages: The conversation.
        tools: What may be called, in OpenAI's form.
        must_call: Names of which one has to be called; empty leaves it to the model.
        rules: More for the system message.
        constraint: What a plain reply is held to; a refined one is not. Used up by one turn.
        stop: Stop sequences.
        max_tokens: Most tokens of the reply.
        temperature: None is greedy, and in a search what its configuration says.
        seed: Where sampling starts.
        verifier: None writes without a search.
        config: The search's settings. Of a plain reply only ``max_seconds`` counts.
        reference: The known answer, for the verifier.
        refine_tool_calls: Judge and refine a message that calls a tool as well.
        model_name: For the metadata.
    """

    backbone: Backbone
    messages: Sequence[BaseMessage]
    tools: Sequence[dict[str, Any]] = ()
    must_call: Sequence[str] = ()
    rules: str = ""
    constraint: TokenConstraint | None = None
    stop: Sequence[str] = ()
    max_tokens: int
    temperature: float | None = None
    seed: int = 0
    verifier: VerifierLike | None = None
    config: LatentSeekConfig
    reference: str | None = None
    refine_tool_calls: bool = False
    model_name: str = ""

    @property
    def tool_names(self) -> frozenset[str]:
        """The tools that are offered."""
        return frozenset(tool["function"]["name"] for tool in self.tools)


def ignored(said: Any) -> None:
    """Takes what nobody listens to."""


@dataclass
class Turn:
    """Writes one reply, in the thread that asks.

    Args:
        request: What to write.
        on_text: Takes content as it becomes certain; never what is withdrawn later.
        on_event: Takes each event of a search.
        cancelled: Set it, and the decoding stops at the next token.
    """

    request: TurnRequest
    on_text: Callable[[Any], None] = ignored
    on_event: Callable[[Any], None] = ignored
    cancelled: threading.Event = field(default_factory=threading.Event)

    def write(self) -> Reply:
        """The reply.

        Raises:
            Cancelled: It was.
            InputError: The conversation cannot be rendered.
        """
        request = self.request
        prompt = render(request.backbone, request.messages, request.tools, request.rules)
        if request.verifier is None or request.must_call:
            return self._plain(prompt)
        return self._refined(prompt)

    # -- without a search

    def _plain(self, prompt: RenderedPrompt) -> Reply:
        request, backbone = self.request, self.request.backbone
        text = _TextSoFar(self, prompt)
        beginning = prompt.beginning_of_call(request.must_call) if request.must_call else ""
        forced: list[int] = []
        if beginning:
            forced = list(backbone.tokenizer(beginning, add_special_tokens=False)["input_ids"])
        most = min(request.max_tokens, backbone.context_window - len(prompt.token_ids))
        forced = forced[:most]
        text.force(forced)
        seconds = request.config.max_seconds
        asked = DecodeRequest(
            prompt_ids=prompt.token_ids,
            forced_ids=forced,
            max_new_tokens=most - len(forced),
            end_token_ids=backbone.eos_token_ids,
            temperature=request.temperature or 0.0,
            seed=request.seed,
            deadline=None if seconds is None else time.monotonic() + seconds,
            on_token=text.take,
            share_beginning=True,
            constraint=request.constraint,
        )
        try:
            (completion,) = decode(backbone, [asked])
            finish_reason = completion.finish_reason
        except _StopFound:
            finish_reason = "stop"
        self.check()
        parsed, reasoning = text.finish()
        if text.stopped:
            finish_reason = "stop"
        return Reply(
            parsed=parsed,
            reasoning=reasoning,
            input_tokens=len(prompt.token_ids),
            output_tokens=text.tokens,
            metadata=self._metadata(parsed, finish_reason),
        )

    # -- with a search

    def _refined(self, prompt: RenderedPrompt) -> Reply:
        request = self.request
        changes: dict[str, Any] = {
            "prompt": lambda _: prompt.token_ids,
            "max_new_tokens": request.max_tokens,
            "seed": request.seed,
        }
        if request.temperature is not None:
            changes["continuation_temperature"] = request.temperature
        config = request.config.replace(**changes)
        search = Search(
            request.backbone,
            self._verifier(),
            config,
            on_token=lambda _: self.check(),
            control_flow=(GraphBubbleUp,),
        )
        draft_state = draft(search, last_question(request.messages), request.reference)
        drafted = Attempt.from_dict(draft_state["samples"][0])
        parsed, reasoning, _ = self._parsed(drafted, prompt)
        if parsed.calls and not request.refine_tool_calls:
            # Not the end of the turn: the tool's result comes first.
            metadata = self._metadata(parsed, drafted.finish_reason)
            return self._reply(prompt, parsed, reasoning, Usage.from_dict(draft_state["usage"]), metadata)
        for state in run(search, draft_state, on_event=self._announce):  # noqa: B007  # the last one counts
            self.check()
        attempts = [Attempt.from_dict(entry) for entry in state["iterations"]]
        chosen = attempts[state["chosen"]]
        parsed, reasoning, stopped = self._parsed(chosen, prompt)
        metadata = {
            **self._metadata(parsed, "stop" if stopped else chosen.finish_reason),
            **{name: state[name] for name in ("score", "passed", "reason", "stop_reason")},
            "iterations": [iteration_metadata(entry, _cut(entry.text, request.stop)) for entry in attempts],
        }
        return self._reply(prompt, parsed, reasoning, Usage.from_dict(state["usage"]), metadata)

    def _verifier(self) -> VerifierLike:
        request, judge = self.request, self.request.verifier
        if judge is None:
            raise RuntimeError("a reply without a verifier is not refined")
        if not request.stop and not request.tools:
            return judge

        def verify(question: str, solution: str, *, reference: str | None = None) -> Any:
            solution = _cut(solution, request.stop)
            refusing = bool(request.tools) and not request.refine_tool_calls
            if refusing and parse_tool_calls(solution, request.tool_names).calls:
                reason = "it calls a tool, but the message that ends a turn was to be refined"
                return Verdict(-1.0, passed=False, reason=reason)
            return judge(question, solution, reference=reference)

        return verify

    def _announce(self, event: Any) -> None:
        self.on_event({**event, "text": _cut(event["text"], self.request.stop)})

    def _parsed(self, attempt: Attempt, prompt: RenderedPrompt) -> tuple[ParsedReply, str, bool]:
        """An attempt as a reply, its thoughts, and whether a stop sequence cut it short."""
        text = _TextSoFar(self, prompt, silent=True)
        text.begin(attempt.token_ids)
        return *text.finish(), text.stopped

    def _reply(
        self,
        prompt: RenderedPrompt,
        parsed: ParsedReply,
        reasoning: str,
        usage: Usage,
        metadata: dict[str, Any],
    ) -> Reply:
        return Reply(
            parsed=parsed,
            reasoning=reasoning,
            input_tokens=len(prompt.token_ids),
            output_tokens=usage.tokens,
            details={"policy": usage.policy_tokens, "verifier": usage.verifier_tokens},
            metadata=metadata,
        )

    # -- both

    def _metadata(self, parsed: ParsedReply, finish_reason: str) -> dict[str, Any]:
        return {
            "model_name": self.request.model_name,
            "model_provider": "latentseek",
            "finish_reason": "tool_calls" if parsed.tool_calls else finish_reason,
        }

    def check(self) -> None:
        """Raise Cancelled if it was."""
        if self.cancelled.is_set():
            raise Cancelled


class _TextSoFar:
    """The text of a reply while it is written: no special tokens, nothing after a stop sequence."""

    def __init__(self, turn: Turn, prompt: RenderedPrompt, *, silent: bool = False) -> None:
        request = turn.request
        tokenizer = request.backbone.tokenizer
        self._turn = turn
        self._prompt = prompt
        self._silent = silent
        # Such a tokenizer has a parser of its own, which needs to see every token.
        self._own_parser = bool(getattr(tokenizer, "response_template", None)) and prompt.text is not None
        hidden = request.backbone.eos_token_ids
        if not self._own_parser:
            hidden |= hidden_token_ids(tokenizer, CALL_TOKENS if request.tools else ())
        self._detokenizer = Detokenizer(tokenizer, hidden)
        self._matcher = StopMatcher(request.stop)
        self._text = ""
        self._shown = 0
        self.tokens = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop sequence was met."""
        return self._matcher.stopped

    def begin(self, token_ids: Sequence[int]) -> None:
        """Tokens that are there already."""
        for token_id in token_ids:
            self._add(token_id)

    def force(self, token_ids: Sequence[int]) -> None:
        """Tokens that the model did not choose: what they spell is no stop sequence."""
        for token_id in token_ids:
            self.tokens += 1
            self._text += self._detokenizer.add(token_id)
        self._show()

    def take(self, token_id: int) -> None:
        """A new token; called by the decoder.

        Raises:
            Cancelled: The decoder passes it on, and stops.
            _StopFound: As well.
        """
        self._turn.check()
        self._add(token_id)
        if self.stopped:
            raise _StopFound

    def finish(self) -> tuple[ParsedReply, str]:
        """The reply and its thoughts."""
        if not self.stopped:
            self._text += self._matcher.add(self._detokenizer.finish())
            self._text += self._matcher.finish()
        request = self._turn.request
        if self._own_parser:
            found = _parsed_by_tokenizer(request, self._prompt, self._text)
            if found is not None:
                return found
        if not request.tools:
            return ParsedReply(self._text), ""
        return parse_tool_calls(self._text, request.tool_names), ""

    def _add(self, token_id: int) -> None:
        self.tokens += 1
        self._text += self._matcher.add(self._detokenizer.add(token_id))
        self._show()

    def _show(self) -> None:
        if self._silent or self._own_parser:
            return
        certain = certain_content(self._text) if self._turn.request.tools else len(self._text)
        if certain > self._shown:
            self._turn.on_text(self._text[self._shown : certain])
            self._shown = certain


def _parsed_by_tokenizer(
    request: TurnRequest, prompt: RenderedPrompt, text: str
) -> tuple[ParsedReply, str] | None:
    """What the tokenizer's response template makes of a reply; None if it cannot read it."""
    tools = list(request.tools)
    try:
        found = request.backbone.tokenizer.parse_response(text, prefix=prompt.text, tools=tools or None)
        calls = [call.get("function", call) for call in found.get("tool_calls") or []]
    except Exception:  # a template is data that came with the model
        return None
    if not all(isinstance(c.get("name"), str) and isinstance(c.get("arguments"), dict) for c in calls):
        return None
    parsed = ParsedReply(
        str(found.get("content") or ""),
        [
            {"type": "tool_call", "name": call["name"], "args": call["arguments"], "id": new_call_id()}
            for call in calls
        ],
    )
    thoughts = found.get("thinking") or found.get("reasoning_content") or ""
    return parsed, str(thoughts)


def _cut(text: str, stop: Sequence[str]) -> str:
    matcher = StopMatcher(stop)
    return matcher.add(text) + matcher.finish()
