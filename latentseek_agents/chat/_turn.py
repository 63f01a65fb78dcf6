"""One turn of the model: render, write, refine if asked, and take the reply apart."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.errors import GraphBubbleUp

from latentseek_agents._inputs import last_question
from latentseek_agents.chat._call_markers import CALL_TOKENS, certain_content
from latentseek_agents.chat._json_text import with_commands
from latentseek_agents.chat._rendering import RenderedPrompt, render
from latentseek_agents.chat._reply import Reply, iteration_metadata
from latentseek_agents.chat._text_stream import Detokenizer, StopMatcher, hidden_token_ids
from latentseek_agents.chat._tool_calls import ParsedReply, new_call_id, parse_tool_calls
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, TokenConstraint, decode
from latentseek_agents.engine._thought_constraint import AfterThought, closings_of
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.thinking import template_options
from latentseek_agents.loop import Search, draft, run
from latentseek_agents.thoughts import Split, ThoughtStream, split_thoughts
from latentseek_agents.verdict import Attempt, Usage, Verdict, VerifierLike, VerifierWrapper, ask

__all__ = ["Turn"]


class _StopFound(BaseException):
    """The text has reached a stop sequence, so the rest need not be decoded."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """All that a reply depends on; it is written in the thread that asks.

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
    def schemas(self) -> dict[str, dict[str, Any]]:
        """The schemas of the arguments of the tools that are offered, by name."""
        functions = [tool["function"] for tool in self.tools]
        return {function["name"]: function.get("parameters") or {} for function in functions}

    def write(
        self,
        on_event: Callable[[dict[str, Any]], None],
        on_text: Callable[[str], None] | None = None,
        on_thought: Callable[[str], None] | None = None,
    ) -> Reply:
        """The reply.

        Args:
            on_event: Takes each event of a search.
            on_text: Takes content as it becomes certain; never what is withdrawn later.
            on_thought: Takes what is thought, likewise.

        Raises:
            Cancelled: It was.
            InputError: The conversation cannot be rendered.
        """
        options = template_options(
            self.backbone.tokenizer,
            enable_thinking=self.config.enable_thinking,
            reasoning_effort=self.config.reasoning_effort,
            name=self.backbone.name,
        )
        prompt = render(self.backbone, self.messages, self.tools, self.rules, options)
        if self.verifier is None or self.must_call:
            return self._plain(prompt, on_text, on_thought)
        return self._refined(prompt, self._judging(self.verifier), on_event)

    # -- without a search

    def _plain(
        self,
        prompt: RenderedPrompt,
        on_text: Callable[[str], None] | None,
        on_thought: Callable[[str], None] | None,
    ) -> Reply:
        most = min(self.max_tokens, self.backbone.context_window - len(prompt.token_ids))
        beginning = prompt.beginning_of_call(self.must_call)
        forced = list(self.backbone.tokenizer(beginning, add_special_tokens=False)["input_ids"])[:most]
        constraint = self.constraint
        held = bool(forced) or constraint is not None
        if (held and self._may_think(prompt)) or self.config.max_thinking_tokens is not None:
            # The thought comes first, and what is forced behind it.
            constraint = AfterThought(
                self.backbone,
                prompt.token_ids,
                budget=self.config.max_thinking_tokens,
                then=forced,
                inner=constraint,
            )
            forced = []
        closings = constraint.closings if isinstance(constraint, AfterThought) else []
        text = _TextSoFar(self, prompt, on_text, on_thought, closings=closings)
        text.force(forced)
        seconds = self.config.max_seconds
        decode_request = DecodeRequest(
            prompt_ids=prompt.token_ids,
            forced_ids=forced,
            max_new_tokens=most - len(forced),
            end_token_ids=self.backbone.eos_token_ids,
            temperature=self.temperature or 0.0,
            seed=self.seed,
            deadline=None if seconds is None else time.monotonic() + seconds,
            on_token=text.take,
            share_beginning=True,
            constraint=constraint,
            states=0,
        )
        finish_reason = "stop"
        with suppress(_StopFound):
            (completion,) = decode(self.backbone, [decode_request])
            finish_reason = completion.finish_reason
        parsed, reasoning = text.finish()
        return Reply(
            parsed=parsed,
            reasoning=reasoning,
            reasoning_tokens=text.reasoning_tokens if reasoning else 0,
            input_tokens=len(prompt.token_ids),
            output_tokens=len(text.token_ids),
            metadata=self._metadata(parsed, "stop" if text.stopped else finish_reason),
        )

    def _may_think(self, prompt: RenderedPrompt) -> bool:
        """Whether the reply may begin with a thought, by what the template says."""
        thoughts = self.backbone.thoughts
        if self.config.enable_thinking is False or not thoughts.known:
            return False
        return not thoughts.ends_without_thought(prompt.text or "")

    # -- with a search

    def _refined(
        self, prompt: RenderedPrompt, verifier: VerifierLike, on_event: Callable[[dict[str, Any]], None]
    ) -> Reply:
        changes: dict[str, Any] = {
            "prompt": lambda _: prompt.token_ids,
            "max_new_tokens": self.max_tokens,
            "seed": self.seed,
        }
        if self.temperature is not None:
            changes["continuation_temperature"] = self.temperature
        config = self.config.replace(**changes)
        search = Search(self.backbone, verifier, config, control_flow=(GraphBubbleUp,))
        state = draft(search, last_question(self.messages), self.reference)
        drafted = Attempt.from_dict(state["samples"][0])
        parsed, reasoning, _ = self._parsed(drafted, prompt)
        metadata = self._metadata(parsed, drafted.finish_reason)
        # A call is not the end of the turn: the tool's result comes first.
        if self.refine_tool_calls or not parsed.calls:

            def announce(event: Any) -> None:
                on_event({**event, "text": _cut(event["text"], self.stop)})

            (state,) = deque(run(search, state, on_event=announce), maxlen=1)
            attempts = [Attempt.from_dict(entry) for entry in state["iterations"]]
            chosen = attempts[state["chosen"]]
            parsed, reasoning, stopped = self._parsed(chosen, prompt)
            if state["text"] != chosen.text:  # a correction of ours ends it
                text = _cut(state["text"], self.stop)
                parsed = parse_tool_calls(text, self.schemas) if self.tools else ParsedReply(text)
                stopped = text != state["text"]
            metadata = {
                **self._metadata(parsed, "stop" if stopped else chosen.finish_reason),
                **{name: state[name] for name in ("score", "passed", "reason", "stop_reason")},
                "iterations": [iteration_metadata(entry, _cut(entry.text, self.stop)) for entry in attempts],
            }
        usage = Usage.from_dict(state["usage"])
        return Reply(
            parsed=parsed,
            reasoning=reasoning,
            reasoning_tokens=usage.policy_thinking_tokens,
            input_tokens=len(prompt.token_ids),
            output_tokens=usage.tokens,
            details={"policy": usage.policy_tokens, "verifier": usage.verifier_tokens},
            metadata=metadata,
        )

    def _judging(self, judge: VerifierLike) -> VerifierLike:
        """The verifier, which is to see a solution as the reply will show it, and no calls."""
        if not self.stop and not self.tools:
            return judge

        return _JudgedAsShown(judge, self)

    def _parsed(self, attempt: Attempt, prompt: RenderedPrompt) -> tuple[ParsedReply, str, bool]:
        """An attempt as a reply, its thoughts, and whether a stop sequence cut it short."""
        closings = closings_of(
            self.backbone, prompt.token_ids, attempt.token_ids, self.config.max_thinking_tokens
        )
        text = _TextSoFar(self, prompt, closings=closings)
        for token_id in attempt.token_ids:
            text.add(token_id)
        return *text.finish(), text.stopped

    # -- both

    def _metadata(self, parsed: ParsedReply, finish_reason: str) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "model_provider": "latentseek",
            "finish_reason": "tool_calls" if parsed.tool_calls else finish_reason,
        }


class _JudgedAsShown(VerifierWrapper):
    """A verifier that sees a solution as the reply will show it, and refuses tool calls."""

    def __init__(self, verifier: VerifierLike, turn: Turn) -> None:
        super().__init__(verifier)
        self._turn = turn

    def __call__(
        self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
    ) -> Verdict:
        turn = self._turn
        solution = _cut(solution, turn.stop)
        refusing = bool(turn.tools) and not turn.refine_tool_calls
        if refusing and parse_tool_calls(solution, turn.schemas).calls:
            reason = "it calls a tool, but the message that ends a turn was to be refined"
            return Verdict(-1.0, passed=False, reason=reason)
        return ask(
            self.verifier,
            question,
            solution,
            reference=reference,
            prepared=prepared,
            control_flow=(GraphBubbleUp,),
        )


class _TextSoFar:
    """The text of a reply while it is written: no special tokens, nothing after a stop sequence.

    What is thought stands apart, and stop sequences are looked for in what is not.
    """

    def __init__(
        self,
        turn: Turn,
        prompt: RenderedPrompt,
        on_text: Callable[[str], None] | None = None,
        on_thought: Callable[[str], None] | None = None,
        *,
        closings: Sequence[int] = (),
    ) -> None:
        backbone = turn.backbone
        # Grows while the reply is written.
        self._closings = closings
        self._turn = turn
        self._prompt = prompt
        # Such a tokenizer has a parser of its own, which needs to see every token.
        self._own_parser = bool(getattr(backbone.tokenizer, "response_template", None)) and (
            prompt.text is not None
        )
        self._on_text = None if self._own_parser else on_text
        self._on_thought = None if self._own_parser else on_thought
        hidden = backbone.eos_token_ids
        if not self._own_parser:
            hidden |= hidden_token_ids(backbone.tokenizer, CALL_TOKENS if turn.tools else ())
            hidden -= backbone.thought_token_ids - backbone.eos_token_ids
        self._detokenizer = Detokenizer(backbone.tokenizer, hidden)
        self._matcher = StopMatcher(turn.stop)
        opened = bool(backbone.opened_by(prompt.token_ids))
        self._stream = ThoughtStream(backbone.thoughts, opened=opened, spellings=backbone.mark_spellings)
        self._opened = opened
        self._read = ""  # of the answer, before stop sequences are looked for
        self._text = ""
        self._shown = 0
        self._shown_thoughts = 0
        self.token_ids: list[int] = []

    @property
    def reasoning_tokens(self) -> int:
        """How many tokens so far are thoughts."""
        return self._turn.backbone.thought_tokens(
            self.token_ids, self._prompt.token_ids, closed=self._closings
        )

    @property
    def stopped(self) -> bool:
        """Whether a stop sequence was met."""
        return self._matcher.stopped

    def add(self, token_id: int) -> None:
        """Go on with this token."""
        self._read_token(token_id)
        self._show()

    def force(self, token_ids: Sequence[int]) -> None:
        """Tokens that the model did not choose: what they spell is no stop sequence."""
        for token_id in token_ids:
            self._read_token(token_id, forced=True)
        self._show()

    def take(self, token_id: int) -> None:
        """A new token; called by the decoder.

        Raises:
            _StopFound: The decoder passes it on, and stops.
        """
        self.add(token_id)
        if self.stopped:
            raise _StopFound

    def finish(self) -> tuple[ParsedReply, str]:
        """The reply and its thoughts."""
        turn = self._turn
        if self._own_parser:
            if not self.stopped:
                self._text += self._matcher.add(self._detokenizer.finish()) + self._matcher.finish()
            parsed = _parsed_by_tokenizer(turn, self._prompt, self._text)
            if parsed is not None:
                return parsed
            split = split_thoughts(self._text, turn.backbone.thoughts, opened=self._opened)
            self._text = split.text
        else:
            split = self._split()
        if not turn.tools:
            return ParsedReply(self._text), split.thinking
        return parse_tool_calls(self._text, turn.schemas), split.thinking

    def _read_token(self, token_id: int, *, forced: bool = False) -> None:
        if len(self.token_ids) in self._closings:
            self._stream.ends_here()
        self.token_ids.append(token_id)
        piece = self._detokenizer.add(token_id)
        if self._own_parser:
            self._text += piece if forced else self._matcher.add(piece)
            return
        backbone = self._turn.backbone
        if token_id in backbone.thought_token_ids:
            place = max(0, piece.rfind(str(backbone.tokenizer.convert_ids_to_tokens(token_id))))
            self._stream.add(piece[:place])
            self._stream.add(piece[place:], is_mark=True)
        else:
            self._stream.add(piece)
        self._answer(self._stream.text, forced=forced)

    def _answer(self, text: str, *, forced: bool = False) -> None:
        new, self._read = text[len(self._read) :], text
        self._text += new if forced else self._matcher.add(new)

    def _split(self) -> Split:
        """The whole text taken apart; its answer, up to a stop sequence, is ``_text``."""
        if not self.stopped:
            self._stream.add(self._detokenizer.finish())
        split = self._stream.finish()
        if self._on_text is None and not split.thinking:
            # Nothing was shown: a mark that closes what nobody opened may still tell.
            whole = self._stream.split(implicit=True)
            if whole.thinking:
                self._text = _cut(whole.text, self._turn.stop)
                return whole
        if not self.stopped:
            self._answer(split.text)
            self._text += self._matcher.finish()
        return split

    def _show(self) -> None:
        if self._on_thought is not None and len(thoughts := self._stream.thinking) > self._shown_thoughts:
            self._on_thought(thoughts[self._shown_thoughts :])
            self._shown_thoughts = len(thoughts)
        if self._on_text is None:
            return
        certain = certain_content(self._text) if self._turn.tools else len(self._text)
        if certain > self._shown:
            self._on_text(self._text[self._shown : certain])
            self._shown = certain


def _parsed_by_tokenizer(turn: Turn, prompt: RenderedPrompt, text: str) -> tuple[ParsedReply, str] | None:
    """What the tokenizer's response template makes of a reply; None if it cannot read it."""
    tools = list(turn.tools)
    try:
        response = turn.backbone.tokenizer.parse_response(text, prefix=prompt.text, tools=tools or None)
        calls = [call.get("function", call) for call in response.get("tool_calls") or []]
    except Exception:  # a template is data that came with the model
        return None
    if not all(isinstance(c.get("name"), str) and isinstance(c.get("arguments"), dict) for c in calls):
        return None
    content = str(response.get("content") or "")
    parsed = ParsedReply(
        content,
        [
            {
                "type": "tool_call",
                "name": call["name"],
                # It reads JSON as it stands, so LaTeX has become control characters.
                "args": with_commands(call["arguments"]),
                "id": new_call_id(),
            }
            for call in calls
        ],
    )
    if turn.tools and not calls:
        # A call in another form than the template's.
        parsed = parse_tool_calls(content, turn.schemas)
    thoughts = response.get("thinking") or response.get("reasoning_content") or ""
    return parsed, str(thoughts)


def _cut(text: str, stop: Sequence[str]) -> str:
    matcher = StopMatcher(stop)
    return matcher.add(text) + matcher.finish()
