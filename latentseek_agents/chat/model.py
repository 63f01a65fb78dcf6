"""A local Hugging Face model as a LangChain chat model, with a verified answer where a verifier is given."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import ConfigDict, Field, ValidationError

from latentseek_agents.chat._background import apieces, pieces
from latentseek_agents.chat._constraints import JSONConstraint, available
from latentseek_agents.chat._events import Listeners, call_of, with_run_id
from latentseek_agents.chat._identity import described, digest_of, fingerprint
from latentseek_agents.chat._loaded import loaded_backbone
from latentseek_agents.chat._options import (
    check_call_options,
    normal_choice,
    openai_tools,
    reply_form,
)
from latentseek_agents.chat._rendering import count_tokens
from latentseek_agents.chat._reply import Reply
from latentseek_agents.chat._structured import Method, parser, with_raw
from latentseek_agents.chat._turn import Turn
from latentseek_agents.config import LatentSeekConfig, most_thinking_tokens, thought_that_does_not_fit
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import BackboneError, ConfigError
from latentseek_agents.verdict import VerifierLike

__all__ = ["ChatLatentSeek"]

# LangChain's standard settings of models behind an API; here there is no API.
_WITHOUT_MEANING = frozenset({"api_key", "base_url", "max_retries", "timeout"})
_METHODS = ("function_calling", "json_mode", "json_schema")


class ChatLatentSeek(BaseChatModel):
    """A local model as a chat model: streaming, async, batches, tools, structured output; no server.

    Without a verifier, a reply is decoded once. With one, the message that ends a turn is refined: drafted,
    judged, and written again from moved latents until it passes or the budget is spent. A message that calls
    a tool is returned as it was drafted. The conversation is the prompt and ``config.prompt`` is not used: a
    system message must ask for the form of answer that the verifier reads.

    ``stream`` shows plain replies token by token. A refined one comes as one chunk, because a draft may be
    withdrawn; each iteration is announced by a custom event ``"latentseek_iteration"`` (in
    ``astream_events``, and in a LangGraph ``stream_mode="custom"``). Where tools are bound, text that may be
    the beginning of a call waits until it is clear. Leaving a stream, or cancelling its task, stops the
    decoding within a token.

    What a model thinks before it answers is no content: ``content_blocks`` has it as a block of the type
    ``"reasoning"`` (``additional_kwargs["reasoning_content"]``), and a stream shows it as it comes. In the
    history it stands where the chat template reads earlier thoughts, and nowhere else. Stop sequences end
    the answer, not the thought. ``config`` has ``enable_thinking``, ``reasoning_effort`` and
    ``max_thinking_tokens``. A thought that takes all of ``max_tokens`` leaves no content; with
    ``max_thinking_tokens`` it is closed in time. Thought, closing mark (8 tokens) and at least 16 tokens of
    an answer must fit into ``max_tokens``: where that is the default, the thought's budget shrinks to fit,
    and where you have set both, it is an error.

    Calls are parsed after decoding, which is not constrained: a model can write a broken call
    (``invalid_tool_calls``). ``tool_choice="any"`` or a name is enforced: the reply begins with the opening
    of the call, behind its thought if the template knows thoughts, the model writes the rest, and the reply
    is not refined. One exception: where the chat
    template has a form of calls that is not parsed here (XML, or a response template), the model writes the
    opening as well. Structured output with ``method="json_schema"`` is constrained to the schema, where the
    extra ``structured`` is installed.

    Args:
        backbone: The model; or give ``model``.
        model: A name, folder or GGUF file to load on first use, as for ``Backbone.from_pretrained``.
        model_options: Its other arguments, such as ``{"dtype": "bfloat16"}``.
        verifier: The judge of finished replies; None refines nothing.
        config: Settings of the search. Its ``max_seconds`` bounds plain replies, too.
        max_tokens: Most tokens of a reply; of each attempt, in a search.
        temperature: Of plain replies, 0 is greedy; in a search, of the text after the latents.
        seed: Where sampling starts; by default the configuration's. Every call starts there, so that all rows
            of a batch with the same messages get the same text: for other samples, give other seeds.
        stop: Stop sequences, for every call. They are not part of the reply.
        refine_tool_calls: Judge and refine messages that call tools, too.

    Raises:
        ConfigError: A setting is unknown or out of range, or there is neither a backbone nor a model.

    Example:
        >>> from latentseek_agents.testing import scripted_backbone
        >>> chat = ChatLatentSeek(backbone=scripted_backbone(["It is 4.", "It is 4. Really."]))
        >>> chat.invoke("What is 2 + 2?").content
        'It is 4.'
        >>> chat.invoke("Sure?", stop=["4."]).content
        'It is '
    """

    backbone: Backbone | None = Field(default=None, exclude=True, repr=False)
    model: str | None = None
    model_options: dict[str, Any] = Field(default_factory=dict)
    verifier: VerifierLike | None = Field(default=None, exclude=True, repr=False)
    config: LatentSeekConfig = Field(default_factory=LatentSeekConfig)
    max_tokens: int = Field(default=512, ge=1)
    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    refine_tool_calls: bool = False
    streaming: bool = False

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=())

    def __init__(self, **values: Any) -> None:
        fields = type(self).model_fields
        known = {*fields, *(field.alias for field in fields.values() if field.alias), *_WITHOUT_MEANING}
        if unknown := sorted(set(values) - known):
            raise ConfigError(
                f"ChatLatentSeek has no setting {', '.join(unknown)}; "
                f"the settings are {', '.join(sorted(fields))}"
            )
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            raise ConfigError(f"ChatLatentSeek cannot be made: {'; '.join(wrong)}") from None
        if (self.backbone is None) == (self.model is None):
            raise ConfigError(
                "ChatLatentSeek needs either a loaded backbone or the name of a model; write "
                "ChatLatentSeek(backbone=Backbone.embedded()) or ChatLatentSeek(model='Qwen/...')"
            )
        self._config_within(self.max_tokens, given=False)

    # -- the interface of LangChain's chat models

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        listeners = Listeners(run_manager, self.callbacks)
        return _result(self._turn(messages, stop, kwargs).write(listeners.tell))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        listeners = Listeners(run_manager, self.callbacks)
        with closing(pieces(self._turn(messages, stop, kwargs))) as written:
            for piece in written:
                if isinstance(piece, AIMessageChunk):
                    yield ChatGenerationChunk(message=piece)
                elif isinstance(piece, dict):
                    listeners.tell(piece)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        listeners = Listeners(run_manager, self.callbacks)
        async with aclosing(apieces(await self._aturn(messages, stop, kwargs))) as written:
            async for piece in written:
                if isinstance(piece, dict):
                    await listeners.atell(piece)
                elif isinstance(piece, Reply):
                    return _result(piece)
        raise RuntimeError("the turn ended without a reply")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        listeners = Listeners(run_manager, self.callbacks)
        async with aclosing(apieces(await self._aturn(messages, stop, kwargs))) as written:
            async for piece in written:
                if isinstance(piece, AIMessageChunk):
                    yield ChatGenerationChunk(message=piece)
                elif isinstance(piece, dict):
                    await listeners.atell(piece)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """The reply in chunks; see the class for what is shown when."""
        config = with_run_id(config)
        chunks = super().stream(input, config, stop=stop, **kwargs)
        # The first step opens the stream; only there is the configuration read.
        with call_of(config=config):
            first = next(chunks, None)
        if first is not None:
            yield first
            yield from chunks

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """As :meth:`stream`; the event loop stays free."""
        config = with_run_id(config)
        stream: Any = super().astream(input, config, stop=stop, **kwargs)
        # Closed here and not when the garbage is collected: the decoding is to stop now.
        async with aclosing(stream) as chunks:
            with call_of(config=config):
                first = await anext(chunks, None)
            if first is not None:
                yield first
                async for chunk in chunks:
                    yield chunk

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # Where a handler streams, LangChain opens a stream here and passes no run manager to it.
        with call_of(run_manager=run_manager):
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with call_of(run_manager=run_manager):
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)

    @property
    def _llm_type(self) -> str:
        return "latentseek"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        params: dict[str, Any] = {
            "model": self._model_name(),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self._seed(),
            "stop_sequences": self.stop,
            "refine_tool_calls": self.refine_tool_calls,
            "max_seconds": self.config.max_seconds,
        }
        if self.backbone is not None:
            params["weights"] = f"{fingerprint(self.backbone)} {self.backbone.number_format}"
        else:
            # Digests: a token for the hub may be among them.
            params["model_options"] = {name: digest_of(value) for name, value in self.model_options.items()}
        if self.verifier is not None:
            params["verifier"] = described(self.verifier)
            params["search"] = self.config.model_dump(exclude={"prompt"})
        return params

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider="latentseek",
            ls_model_name=kwargs.get("model") or self._model_name(),
            ls_model_type="chat",
            ls_temperature=_given(kwargs.get("temperature"), self.temperature) or 0.0,
            ls_max_tokens=_given(kwargs.get("max_tokens"), self.max_tokens),
        )
        if stops := self._stops(stop):
            params["ls_stop"] = stops
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """The text's tokens, by the model's own tokenizer."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return list(self._loaded().tokenizer(text, add_special_tokens=False)["input_ids"])

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """The tokens of the prompt that these messages make, even if it is too long for the model."""
        return count_tokens(self._loaded(), messages, openai_tools(tools))

    # -- tools and structured output

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools.

        Args:
            tools: Functions, LangChain tools, pydantic classes, ``TypedDict`` classes or dicts.
            tool_choice: ``"auto"`` (the default), ``"none"``, ``"any"`` or the name of a tool: the reply has
                to call one.
            **kwargs: Passed on with every call.

        Raises:
            ConfigError: The choice is none of the tools, or a tool is one that a provider's server runs.
        """
        converted = openai_tools(tools)
        choice = normal_choice(tool_choice, [tool["function"]["name"] for tool in converted])
        if choice == "any" and not converted:
            raise ConfigError(f"tool_choice={tool_choice!r} demands a call, but there is no tool to call")
        return self.bind(tools=converted, tool_choice=choice, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Method = "function_calling",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model, giving objects in place of messages.

        A reply that does not fit the schema is an error and is never repaired. With ``"json_schema"`` and the
        extra ``structured`` every reply fits, because decoding is constrained to the schema, except one that
        is cut off by ``max_tokens``: that is an error.

        Args:
            schema: A pydantic class (instances come back), a ``TypedDict``, a JSON schema or a tool (dicts).
            include_raw: Give ``{"raw", "parsed", "parsing_error"}`` and raise nothing.
            method: ``"function_calling"``: a forced call of a tool with this schema. ``"json_schema"``: the
                schema in the system message, and JSON in the reply. ``"json_mode"``: JSON in the reply; your
                prompt tells what is in it.
            **kwargs: ``strict``, of which only ``"json_schema"`` takes notice. True: constrain decoding or
                raise. False: do not. By default it is constrained if the extra is installed and knows all
                that the schema says, and if there is no verifier: a refined reply is not constrained.

        Raises:
            ConfigError: There is no such method or option, or the schema cannot be held to and has to be.
        """
        strict = kwargs.pop("strict", None)
        if kwargs or method not in _METHODS:
            what = ", ".join(kwargs) if kwargs else f"method={method!r}"
            raise ConfigError(
                f"with_structured_output cannot use {what}; the methods are {', '.join(_METHODS)}"
            )
        about = {"kwargs": {"method": method}, "schema": convert_to_json_schema(schema)}
        model: Runnable[LanguageModelInput, AIMessage]
        if method == "function_calling":
            name = convert_to_openai_tool(schema)["function"]["name"]
            model = self.bind_tools([schema], tool_choice=name, ls_structured_output_format=about)
        else:
            form: dict[str, Any] = {"type": "json_object"}
            if method == "json_schema":
                form = {"type": method, "json_schema": convert_to_json_schema(schema), "strict": strict}
            model = self.bind(response_format=form, ls_structured_output_format=about)
        parse = parser(schema, method)
        return with_raw(model, parse) if include_raw else model | parse

    # -- from settings and call to a turn

    def _turn(self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]) -> Turn:
        check_call_options(options)
        max_tokens = _given(options.get("max_tokens"), self.max_tokens)
        tools = openai_tools(options.get("tools"))
        names = [tool["function"]["name"] for tool in tools]
        choice = normal_choice(options.get("tool_choice"), names)
        backbone = self._loaded(options.get("model"))
        rules, schema = reply_form(options.get("response_format"))
        tools = [] if choice == "none" else tools
        constraint = None
        if schema:
            strict = options["response_format"].get("strict")
            constraint = self._constraint(backbone, schema, strict=strict, has_tools=bool(tools))
        return Turn(
            backbone=backbone,
            messages=messages,
            tools=tools,
            must_call=[name for name in names if choice in ("any", name)],
            rules=rules,
            constraint=constraint,
            stop=self._stops(stop),
            max_tokens=max_tokens,
            temperature=_given(options.get("temperature"), self.temperature),
            seed=_given(options.get("seed"), self._seed()),
            verifier=self.verifier,
            config=self._config_within(max_tokens, given=options.get("max_tokens") is not None),
            reference=options.get("reference"),
            refine_tool_calls=self.refine_tool_calls,
            model_name=options.get("model") or self._model_name(),
        )

    def _config_within(self, max_tokens: int, *, given: bool) -> LatentSeekConfig:
        """The settings of a turn: a thought leaves room for an answer within ``max_tokens``.

        Args:
            max_tokens: Most tokens of the reply.
            given: Whether the caller has set them for this call.

        Raises:
            ConfigError: The caller has set both, and the thought's budget does not fit.
        """
        budget = self.config.max_thinking_tokens
        problem = thought_that_does_not_fit(budget, "max_tokens", max_tokens)
        if not problem:
            return self.config
        if given or "max_tokens" in self.model_fields_set:
            raise ConfigError(problem)
        return self.config.replace(max_thinking_tokens=max(1, most_thinking_tokens(max_tokens)))

    def _constraint(
        self, backbone: Backbone, schema: Mapping[str, Any], *, strict: bool | None, has_tools: bool
    ) -> JSONConstraint | None:
        """What holds a reply to its schema; None if only the system message asks for it."""
        if strict is False or not (strict or available()):
            return None
        if self.verifier is not None or has_tools:
            if not strict:
                return None
            obstacle = "tools" if self.verifier is None else "verifier"
            raise ConfigError(
                f"a reply with a verifier or tools is not constrained; leave out strict or the {obstacle}"
            )
        try:
            return JSONConstraint(backbone, schema)
        except ConfigError:
            if strict:
                raise
        return None

    def _stops(self, stop: str | list[str] | None) -> list[str]:
        return [*(self.stop or ()), *([stop] if isinstance(stop, str) else stop or ())]

    async def _aturn(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> Turn:
        if self.backbone is None or options.get("model"):
            # The model may have to be loaded first.
            return await asyncio.to_thread(self._turn, messages, stop, options)
        return self._turn(messages, stop, options)

    def _loaded(self, name: str | None = None) -> Backbone:
        if self.backbone is not None and (name is None or name == self.backbone.name):
            return self.backbone
        return loaded_backbone(name or self.model or "", self.model_options)

    def _model_name(self) -> str:
        return self.backbone.name if self.backbone is not None else self.model or ""

    def _seed(self) -> int:
        return self.config.seed if self.seed is None else self.seed

    # -- copies

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "ChatLatentSeek":
        """A copy of the settings. The model is frozen, and the verifier often holds it: both are shared."""
        memo = {} if memo is None else memo
        for shared in (self.backbone, self.verifier):
            if shared is not None:
                memo[id(shared)] = shared
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        if self.backbone is not None:
            raise BackboneError(
                f"this ChatLatentSeek holds the loaded model {self.backbone.name!r}, which is not pickled; "
                "make it with ChatLatentSeek(model='name or folder'), which every process loads for itself"
            )
        return super().__getstate__()


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _result(reply: Reply) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=reply.message())])
