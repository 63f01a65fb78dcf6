"""What tells one chat model from another: its cache key, which also goes into traces."""

import re
import subprocess
import sys
import threading
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from pydantic import SecretStr

from latentseek_agents import Backbone, ChatLatentSeek
from latentseek_agents.chat._identity import described, digest_of
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer


class Plain:
    """State in ``__dict__``."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> float:
        return -1.0


class Slotted:
    """State in ``__slots__``."""

    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held


class Unpicklable(Plain):
    """Refuses to be copied."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("no")


PAIRS: list[tuple[Any, Any]] = [
    (partial(Plain.__call__, reference="1"), partial(Plain.__call__, reference="2")),
    (re.compile("4"), re.compile("5")),
    (b"a", b"b"),
    (Decimal(1), Decimal(2)),
    (Path("a"), Path("b")),
    ({1, 2}, {1, 3}),
    ({"a": 1}, {"a": 2}),
    ([1, [2]], [1, 2]),
    ("1", 1),
    ("abc".startswith, "abd".startswith),
]
UNKNOWN = [
    Unpicklable(1),
    torch.zeros(3),
    torch.nn.Linear(2, 2),
    threading.Lock(),
    lambda: 1,
    partial(lambda: 1),
]


@pytest.mark.parametrize("holder", [Plain, Slotted, lambda held: (held,)])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_verifiers_that_differ_in_anything_are_told_apart(holder: Any, one: Any, other: Any) -> None:
    assert described(holder(one)) != described(holder(other))
    assert described(holder(one)) == described(holder(one))


@pytest.mark.parametrize("holder", [Plain, Slotted, lambda held: (held,)])
@pytest.mark.parametrize("held", UNKNOWN)
def test_what_cannot_be_told_apart_is_never_taken_for_something_known(holder: Any, held: Any) -> None:
    value = holder(held)
    assert described(value) != described(value)


def test_verifiers_that_hold_a_model_are_told_apart_by_it(tiny: Backbone) -> None:
    assert digest_of(Plain(tiny)) == digest_of(Plain(tiny_backbone()))
    assert digest_of(Plain(tiny)) != digest_of(Plain(tiny_backbone(seed=1)))


def test_what_refers_to_itself_is_described() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert digest_of(loop) == digest_of(loop)
    plain = Plain(None)
    plain.held = {"me": plain}
    assert described(plain) == described(plain)


def test_the_digest_is_the_same_in_every_process() -> None:
    script = (
        "from latentseek_agents.chat._identity import digest_of\n"
        "from latentseek_agents.tools import GroundTruth, StepVerifier\n"
        "print(digest_of(StepVerifier()), digest_of(GroundTruth('5')), digest_of({'x': 1, 'y': 2}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_what_a_notebook_may_define_again_has_no_lasting_digest() -> None:
    script = (
        "from latentseek_agents.chat._identity import digest_of\n"
        "class Judge: pass\n"
        "def judge(question, solution, reference=None): return 0.0\n"
        "for value in (Judge, Judge(), judge, [judge]):\n"
        "    assert digest_of(value) != digest_of(value)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_secret_of_a_verifier_reaches_a_trace(tiny: Backbone) -> None:
    seen: list[str] = []

    class Tracer(BaseCallbackHandler):
        def on_chat_model_start(
            self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
        ) -> None:
            seen.append(str((serialized, kwargs)))

    verifier = Plain({"key": SecretStr("sk-topsecret"), "token": "hunter2"})
    chat = ChatLatentSeek(backbone=tiny, verifier=verifier, max_tokens=4)
    chat.invoke("?", {"callbacks": [Tracer()]})
    by_name = ChatLatentSeek(model="some/model", model_options={"token": "hunter2"})
    seen.append(str(by_name._identifying_params))
    assert len(seen) == 2
    for text in seen:
        assert "topsecret" not in text
        assert "hunter2" not in text


def test_int8_weights_are_other_weights():
    def weights(model: Any, dtype: str | None) -> Any:
        backbone = Backbone.from_model(model, tiny_tokenizer(), dtype=dtype)
        return ChatLatentSeek(backbone=backbone)._identifying_params["weights"]

    other = tiny_model()
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight.mul_(1.01)
    floats, int8, changed = weights(tiny_model(), None), weights(tiny_model(), "int8"), weights(other, "int8")
    assert int8.endswith(" int8")
    assert floats.endswith(" float32")
    assert len({floats, int8, changed}) == 3
    assert int8 == weights(tiny_model(), "int8")
