"""ChatLatentSeek as LangChain handles any model: settings, copies, pickles, fallbacks, caches."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField

from latentseek_agents import (
    Backbone,
    BackboneError,
    ChatLatentSeek,
    ConfigError,
    InputError,
    LatentSeekConfig,
)
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_backbone
from latentseek_agents.tools import StepVerifier
from tests.support.chat_cases import add


def test_settings_are_checked(tiny: Backbone) -> None:
    for wrong in ({"max_tokens": 0}, {"temperature": -1}, {"max_new_tokens": 5}, {"model": "x"}):
        with pytest.raises(ConfigError):
            ChatLatentSeek(backbone=tiny, **wrong)
    with pytest.raises(ConfigError, match="needs either"):
        ChatLatentSeek()
    chat = ChatLatentSeek(backbone=tiny)
    with pytest.raises(ConfigError, match="top_q"):
        chat.invoke("?", top_q=1)
    wrong_options: list[tuple[str, Any]] = [
        ("max_tokens", 0),
        ("max_tokens", "7"),
        ("temperature", -1),
        ("temperature", float("nan")),
        ("seed", -1),
        ("response_format", dict),
    ]
    for option, value in wrong_options:
        with pytest.raises(ConfigError, match=f"{option}="):
            chat.invoke("?", **{option: value})
    with pytest.raises(InputError, match="image"):
        chat.invoke([HumanMessage([{"type": "image", "url": "https://example.org/x.png"}])])
    with pytest.raises(InputError, match="no messages"):
        chat.invoke([])


def test_the_model_is_in_no_representation(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, verifier=ScriptedVerifier())
    for text in (repr(chat), str(chat), str(chat.model_dump()), str(chat._identifying_params)):
        assert "Backbone(" not in text
        assert "0x" not in text


def test_deep_copies_share_the_model(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=8, stop=["x"])
    for copied in (copy.deepcopy(chat), chat.model_copy(deep=True), copy.deepcopy(chat.bind(seed=1)).bound):
        assert isinstance(copied, ChatLatentSeek)
        assert copied.backbone is tiny
        assert copied is not chat
        assert copied.stop == ["x"]
        assert copied.invoke("Hello!").content == chat.invoke("Hello!").content


def test_a_model_by_name_is_loaded_on_first_use_once_and_pickled(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    chat = ChatLatentSeek(model=str(tmp_path), model_options={"dtype": "float32"}, max_tokens=8)
    again = pickle.loads(pickle.dumps(chat))  # noqa: S301
    expected = ChatLatentSeek(backbone=backbone, max_tokens=8).invoke("Hello!")
    assert again.invoke("Hello!").content == chat.invoke("Hello!").content == expected.content
    assert chat._loaded() is again._loaded()
    assert chat.invoke("Hello!").response_metadata["model_name"] == str(tmp_path)
    with pytest.raises(BackboneError, match="not pickled"):
        pickle.dumps(ChatLatentSeek(backbone=backbone))
    with pytest.raises(BackboneError):
        ChatLatentSeek(model=str(tmp_path / "nothing")).invoke("Hello!")


def test_configurable_retry_fallback_and_bind(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=20)
    configurable = chat.configurable_fields(max_tokens=ConfigurableField(id="most"))
    short: Any = configurable.invoke("Hello!", {"configurable": {"most": 5}})
    assert short.usage_metadata["output_tokens"] == 5
    assert short.content == chat.bind(max_tokens=5).invoke("Hello!").content
    assert chat.with_retry().invoke("Hello!").content == chat.invoke("Hello!").content
    broken = ChatLatentSeek(backbone=scripted_backbone(lambda prompt: 1 / 0))  # type: ignore[arg-type, return-value]
    assert broken.with_fallbacks([chat]).invoke("Hello!").content == chat.invoke("Hello!").content
    with pytest.raises(ZeroDivisionError):
        list(broken.stream("Hello!"))


def test_the_cache_tells_settings_and_models_apart() -> None:
    def counting(calls: list[str]) -> Any:
        return lambda prompt: calls.append(prompt) or f"Reply {len(calls)}."  # type: ignore[func-returns-value]

    calls: list[str] = []
    cache = InMemoryCache()
    backbone = scripted_backbone(counting(calls))
    chat = ChatLatentSeek(backbone=backbone, cache=cache)
    assert chat.invoke("?").content == chat.invoke("?").content == "Reply 1."
    assert ChatLatentSeek(backbone=backbone, cache=cache).invoke("?").content == "Reply 1."
    assert len(calls) == 1
    chat.invoke("?", stop=["x"])
    ChatLatentSeek(backbone=backbone, cache=cache, max_tokens=9).invoke("?")
    chat.bind_tools([add]).invoke("?")
    ChatLatentSeek(
        backbone=backbone, cache=cache, verifier=lambda question, solution, reference=None: 0.0
    ).invoke("?")
    assert len(calls) == 5
    ChatLatentSeek(
        backbone=backbone, cache=cache, verifier=lambda question, solution, reference=None: -0.1
    ).invoke("?")
    assert len(calls) == 6
    other = tiny_backbone(seed=1)
    first, second = (ChatLatentSeek(backbone=each)._get_llm_string() for each in (tiny_backbone(), other))
    assert first != second
    assert first == ChatLatentSeek(backbone=tiny_backbone())._get_llm_string()


# -- around a refined reply, which takes longer and says more


def refining(backbone: Backbone, **settings: Any) -> ChatLatentSeek:
    """A chat model whose second attempt passes."""
    config = LatentSeekConfig(max_iterations=3, fraction=0.3, learning_rate=0.3)
    verifier = ScriptedVerifier([-1, 0])
    return ChatLatentSeek(backbone=backbone, verifier=verifier, config=config, max_tokens=16, **settings)


def test_copies_with_a_verifier_and_in_chains_share_the_model(tiny: Backbone) -> None:
    chat = refining(tiny)
    copied: Any = copy.deepcopy(ChatPromptTemplate.from_messages([("human", "{x}")]) | chat)
    inner = copied.last
    assert inner is not chat
    assert (inner.backbone, inner.verifier) == (tiny, chat.verifier)
    assert copied.invoke({"x": "2 + 2?"}).content == refining(tiny).invoke("2 + 2?").content


def test_bound_and_composed_models_are_pickled(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    chat = ChatLatentSeek(
        model=str(tmp_path), verifier=StepVerifier(), temperature=0.5, max_tokens=6, stop=["x"]
    )
    for runnable in (
        chat,
        chat.bind_tools([add]),
        chat.bind(seed=3),
        chat.with_retry(),
        chat | StrOutputParser(),
    ):
        again: Any = pickle.loads(pickle.dumps(runnable))  # noqa: S301
        expected: Any = runnable.invoke("Hello!")
        found = again.invoke("Hello!")
        assert getattr(found, "content", found) == getattr(expected, "content", expected)


def test_search_and_verifier_are_configurable(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=16).configurable_fields(
        verifier=ConfigurableField(id="judge"), config=ConfigurableField(id="search")
    )
    given = {"judge": ScriptedVerifier([-1]), "search": LatentSeekConfig(max_iterations=2, fraction=0.3)}
    about = chat.invoke("2 + 2?", {"configurable": given}).response_metadata
    assert [entry["iteration"] for entry in about["iterations"]] == [0, 1, 2]
    assert "score" not in chat.invoke("2 + 2?").response_metadata
    streamed: Any = list(chat.stream("2 + 2?", {"configurable": given}))
    assert streamed[-1].response_metadata["stop_reason"] == "iterations"


def test_another_model_is_an_alternative(tiny: Backbone) -> None:
    other = ChatLatentSeek(backbone=scripted_backbone(["Hello."]))
    chat: Any = ChatLatentSeek(backbone=tiny, max_tokens=8).configurable_alternatives(
        ConfigurableField(id="who"), default_key="tiny", other=other
    )
    assert chat.invoke("?", {"configurable": {"who": "other"}}).content == "Hello."
    assert chat.invoke("?").response_metadata["model_name"] == tiny.name


async def test_a_model_that_fails_once_is_asked_again() -> None:
    def flaky() -> ChatLatentSeek:
        calls: list[str] = []

        def script(prompt: str) -> str:
            calls.append(prompt)
            if len(calls) == 1:
                raise OSError("once")
            return "Hello."

        return ChatLatentSeek(backbone=scripted_backbone(script))

    def patient() -> Any:
        return flaky().with_retry(retry_if_exception_type=(OSError,), wait_exponential_jitter=False)

    assert patient().invoke("?").content == "Hello."
    assert (await patient().ainvoke("?")).content == "Hello."
    with pytest.raises(OSError, match="once"):
        flaky().with_retry(retry_if_exception_type=(KeyError,), wait_exponential_jitter=False).invoke("?")


async def test_a_fallback_takes_over_streams_and_batches() -> None:
    broken = ChatLatentSeek(backbone=scripted_backbone(lambda prompt: str(1 / 0)))
    safe: Any = broken.with_fallbacks([ChatLatentSeek(backbone=scripted_backbone(["Hello."]))])
    assert "".join(chunk.content for chunk in safe.stream("?")) == "Hello."
    assert "".join([chunk.content async for chunk in safe.astream("?")]) == "Hello."
    assert (await safe.ainvoke("?")).content == "Hello."
    assert [message.content for message in safe.batch(["a", "b"])] == ["Hello.", "Hello."]


async def test_a_cached_reply_decodes_nothing() -> None:
    calls: list[str] = []

    def script(prompt: str) -> str:
        calls.append(prompt)
        return f"2 + 2 = {4 + len(calls)}. The answer is {4 + len(calls)}."

    config = LatentSeekConfig(max_iterations=1, fraction=0.3, refine_unjudged=True)
    chat = ChatLatentSeek(
        backbone=scripted_backbone(script), verifier=StepVerifier(), config=config, cache=InMemoryCache()
    )
    first = chat.invoke("What is 2 + 2?")
    assert first.response_metadata["stop_reason"] == "iterations"
    decoded = len(calls)
    found = [chat.invoke("What is 2 + 2?"), await chat.ainvoke("What is 2 + 2?")]
    found += [*chat.batch(["What is 2 + 2?"] * 2), copy.deepcopy(chat).invoke("What is 2 + 2?")]
    assert len(calls) == decoded
    for message in found:
        assert (message.content, message.response_metadata) == (first.content, first.response_metadata)


async def test_events_tell_of_the_start_every_token_and_the_end(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=12).with_config(tags=["mine"], run_name="writer")
    events: list[Any] = [event async for event in chat.astream_events("Hello!", version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "on_chat_model_start"
    assert kinds[-1] == "on_chat_model_end"
    assert set(kinds[1:-1]) == {"on_chat_model_stream"}
    assert {(event["name"], *event["tags"]) for event in events} == {("writer", "mine")}
    shown = "".join(event["data"]["chunk"].content for event in events[1:-1])
    assert shown == chat.invoke("Hello!").content
