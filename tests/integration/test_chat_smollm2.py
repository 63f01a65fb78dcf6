"""LangChain's integration suite for chat models on the embedded model, offline.

SmolLM2-135M cannot call tools or fill a schema, so those tests run on a scripted model, in
tests/test_chat_standard.py.
"""

import functools
from typing import Annotated, Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from pydantic import BaseModel, Field

from latentseek_agents import Backbone, ChatLatentSeek, LatentSeekConfig
from latentseek_agents.tools import StepVerifier

pytestmark = pytest.mark.model


@functools.cache
def backbone() -> Backbone:
    """The embedded model, loaded once."""
    return Backbone.embedded(dtype="float32")


class TestSmolLM2(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLatentSeek

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"backbone": backbone(), "max_tokens": 24}

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


def test_a_refined_reply() -> None:
    config = LatentSeekConfig(latents="consistent", fraction=0.5, max_iterations=2, refine_unjudged=True)
    chat = ChatLatentSeek(backbone=backbone(), verifier=StepVerifier(), config=config, max_tokens=60)
    message = chat.invoke("There are 5 red cups and 4 blue cups. How many cups are there?")
    about = message.response_metadata
    assert message.content
    assert 1 <= len(about["iterations"]) <= 3
    assert about["stop_reason"] in ("passed", "iterations")


def test_a_schema_holds_with_tokens_of_many_characters() -> None:
    pytest.importorskip("llguidance")

    class Fruit(BaseModel):
        """A fruit."""

        name: Annotated[str, Field(max_length=20)]
        colour: Literal["red", "green", "yellow"]
        pieces: Annotated[int, Field(ge=1, le=12)]

    chat = ChatLatentSeek(backbone=backbone(), max_tokens=80)
    fruit = chat.with_structured_output(Fruit, method="json_schema", strict=True).invoke("Name a fruit.")
    assert isinstance(fruit, Fruit)
