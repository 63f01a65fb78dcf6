"""Replies that are held to a schema: whatever the model, what it writes fits."""

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from latentseek_agents import Backbone, ChatLatentSeek, ConfigError
from latentseek_agents.chat import _constraints as constraints
from latentseek_agents.chat import model
from latentseek_agents.chat._constraints import JSONConstraint
from latentseek_agents.chat._structured import ReplyError
from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.testing import (
    ScriptedVerifier,
    scripted_backbone,
    tiny_backbone,
    tiny_model,
    tiny_tokenizer,
)
from tests.chat.test_standard import hermes_tokenizer
from tests.support.chat_cases import add

pytest.importorskip("llguidance")


class Part(BaseModel):
    """A part of something."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=5)]
    kind: Literal["big", "small", "größer"]


class Whole(BaseModel):
    """Something with parts."""

    model_config = ConfigDict(extra="forbid")
    count: Annotated[int, Field(ge=0, le=99)]
    fits: bool
    parts: Annotated[list[Part], Field(min_length=1, max_length=2)]
    note: Annotated[str, Field(max_length=4)] | None = None


SCHEMA = Whole.model_json_schema()
NOT_KNOWN = {"title": "Odd", "type": "object", "properties": {"a": {"type": "string", "not": {"const": "b"}}}}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone(max_position_embeddings=4096)


def request_of(backbone: Backbone, seed: int, *, held: bool = True) -> DecodeRequest:
    """A request that samples at random."""
    return DecodeRequest(
        prompt_ids=backbone.encode_prompt("Describe it."),
        max_new_tokens=300,
        end_token_ids=backbone.eos_token_ids,
        temperature=1.5,
        seed=seed,
        constraint=JSONConstraint(backbone, SCHEMA) if held else None,
    )


def test_every_reply_of_an_untrained_model_fits(backbone: Backbone) -> None:
    made = decode(backbone, [request_of(backbone, seed) for seed in range(40)])
    values = [Whole.model_validate_json(backbone.decode(each.token_ids)) for each in made]
    assert {each.finish_reason for each in made} == {"stop"}
    assert len({value.model_dump_json() for value in values}) > 20


def test_it_binds_its_own_row_alone_and_in_any_company(backbone: Backbone) -> None:
    mixed = [request_of(backbone, seed, held=seed % 2 == 0) for seed in range(6)]
    together = [each.token_ids for each in decode(backbone, mixed)]
    alone = [
        decode(backbone, [request_of(backbone, seed, held=seed % 2 == 0)])[0].token_ids for seed in range(6)
    ]
    assert together == alone
    options = DecodingOptions(batch=False)
    single = Backbone.from_model(tiny_model(max_position_embeddings=4096), tiny_tokenizer(), decoding=options)
    assert decode(single, [request_of(single, 0)])[0].token_ids == alone[0]


def test_a_guess_does_not_get_past_it(backbone: Backbone) -> None:
    request = request_of(backbone, 3)
    wrong = list(backbone.tokenizer("no JSON at all " * 9)["input_ids"])
    guessing = DecodeRequest(**{**vars(request), "guess_ids": wrong})
    assert (
        decode(backbone, [guessing])[0].token_ids == decode(backbone, [request_of(backbone, 3)])[0].token_ids
    )


def test_forced_tokens_come_before_it(backbone: Backbone) -> None:
    forced = list(backbone.tokenizer("It is ")["input_ids"])
    request = DecodeRequest(**{**vars(request_of(backbone, 1)), "forced_ids": forced})
    text = backbone.decode(decode(backbone, [request])[0].token_ids)
    Whole.model_validate_json(text.removeprefix("It is "))


@pytest.mark.parametrize("strict", [None, True])
async def test_structured_output_fits(backbone: Backbone, strict: bool | None) -> None:
    chat = ChatLatentSeek(backbone=backbone, max_tokens=300, temperature=1.0)
    options: dict[str, Any] = {} if strict is None else {"strict": strict}
    typed = chat.with_structured_output(Whole, method="json_schema", **options)
    assert isinstance(typed.invoke("Describe it."), Whole)
    assert isinstance(await typed.ainvoke("Describe it."), Whole)
    plain = chat.with_structured_output(SCHEMA, method="json_schema", **options)
    Whole.model_validate(plain.invoke("Describe it."))
    both: Any = chat.with_structured_output(Whole, method="json_schema", include_raw=True, **options)
    found = both.invoke("Describe it.")
    assert Whole.model_validate_json(found["raw"].content) == found["parsed"]


def test_what_is_cut_off_says_so(backbone: Backbone) -> None:
    chat = ChatLatentSeek(backbone=backbone, max_tokens=9)
    with pytest.raises(ReplyError, match="raise max_tokens"):
        chat.with_structured_output(Whole, method="json_schema").invoke("Describe it.")


def test_strict_false_and_a_schema_that_is_not_known(backbone: Backbone) -> None:
    """Then the model is asked, and may miss; unless it has to be held to it."""
    chat = ChatLatentSeek(backbone=backbone, max_tokens=20, temperature=1.0)
    with pytest.raises(ReplyError):
        chat.with_structured_output(Whole, method="json_schema", strict=False).invoke("?")
    with pytest.raises(ReplyError):
        chat.with_structured_output(NOT_KNOWN, method="json_schema").invoke("?")
    with pytest.raises(ConfigError, match=r"cannot be constrained.*not.*strict=False"):
        chat.with_structured_output(NOT_KNOWN, method="json_schema", strict=True).invoke("?")


def test_without_the_extra_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (constraints, model):
        monkeypatch.setattr(module, "available", lambda: False)
    reply = {"count": 3, "fits": True, "parts": [{"name": "a", "kind": "big"}]}
    chat = ChatLatentSeek(backbone=scripted_backbone([json.dumps(reply)]))
    found: Any = chat.with_structured_output(Whole, method="json_schema").invoke("?")
    assert found.count == 3
    with pytest.raises(ConfigError, match=r"latentseek-agents\[structured\]"):
        chat.with_structured_output(Whole, method="json_schema", strict=True).invoke("?")


def test_a_refined_reply_is_not_constrained() -> None:
    reply = {"count": 3, "fits": True, "parts": [{"name": "a", "kind": "big"}]}
    chat = ChatLatentSeek(backbone=scripted_backbone([json.dumps(reply)]), verifier=ScriptedVerifier([0.0]))
    found: Any = chat.with_structured_output(Whole, method="json_schema", include_raw=True).invoke("?")
    assert found["raw"].response_metadata["passed"]
    with pytest.raises(ConfigError, match="leave out strict or the verifier"):
        chat.with_structured_output(Whole, method="json_schema", strict=True).invoke("?")


@pytest.mark.parametrize("choice", ["auto", "any"])
def test_a_schema_leaves_room_for_tool_calls(choice: str) -> None:
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    form = {"type": "json_schema", "json_schema": SCHEMA}
    chat = ChatLatentSeek(backbone=scripted_backbone([call], hermes_tokenizer())).bind_tools(
        [add], tool_choice=choice, response_format=form
    )
    message: Any = chat.invoke("?")
    assert [made["args"] for made in message.tool_calls] == [{"a": 1, "b": 2}]
    strict = chat.bind(response_format=form | {"strict": True})
    with pytest.raises(ConfigError, match="leave out strict or the tools"):
        strict.invoke("?")
