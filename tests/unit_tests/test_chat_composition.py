"""ChatLatentSeek as LangChain handles any model: settings, copies, pickles, fallbacks, caches."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField

from latentseek_agents import Backbone, BackboneError, ChatLatentSeek, ConfigError, InputError
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_backbone
from tests.chat_cases import add


def test_settings_are_checked(tiny: Backbone) -> None:
    for wrong in ({"max_tokens": 0}, {"temperature": -1}, {"max_new_tokens": 5}, {"model": "x"}):
        with pytest.raises(ConfigError):
            ChatLatentSeek(backbone=tiny, **wrong)
    with pytest.raises(ConfigError, match="needs either"):
        ChatLatentSeek()
    chat = ChatLatentSeek(backbone=tiny)
    with pytest.raises(ConfigError, match="top_q"):
        chat.invoke("?", top_q=1)
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
