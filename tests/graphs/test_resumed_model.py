"""A search that was stored goes on with the model and dtype that it was begun with, and no other."""

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.errors import BackboneError, InputError
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.loop import Search, draft, run
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone, tiny_model, tiny_tokenizer


@pytest.mark.parametrize("other", [{"seed": 1}, {"hidden_size": 64}, {"architecture": "Qwen2"}])
@pytest.mark.parametrize("proposals", ["latents", "samples"])
@pytest.mark.parametrize("node", ["verify", "refine"])
def test_a_search_is_not_resumed_with_another_model(other: dict[str, Any], proposals: Any, node: str):
    config = LatentSeekConfig(max_new_tokens=8, fraction=0.5, proposals=proposals)
    saver = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}

    def app(backbone: Backbone) -> Any:
        graph = create_refine_graph(backbone, verifier=ScriptedVerifier([-1.0]), config=config)
        return graph.compile(checkpointer=saver, interrupt_before=[node])

    app(tiny_backbone()).invoke({"question": "What is 2 + 2?"}, thread)
    with pytest.raises(BackboneError, match="begun with another model or dtype"):
        app(tiny_backbone(**other)).invoke(None, thread)
    assert app(tiny_backbone()).invoke(None, thread)["iterations"]


def test_a_search_is_not_resumed_in_another_dtype():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    config = LatentSeekConfig(max_new_tokens=8, fraction=0.5)
    search = Search(Backbone.from_model(model, tokenizer), ScriptedVerifier([-1.0]), config)
    state = next(run(search, draft(search, "What is 2 + 2?")))
    int8 = Search(Backbone.from_model(model, tokenizer, dtype="int8"), ScriptedVerifier([-1.0]), config)
    with pytest.raises(BackboneError, match=r"begun with .* \(float32 .* \(int8 ") as raised:
        next(run(int8, state))
    assert [attempt["iteration"] for attempt in raised.value.attempts] == [0]


@pytest.mark.parametrize("junk", ["text", [{}], ["text"], [None], [{"score": -1.0}], 12, {"a": 1}])
@pytest.mark.parametrize("key", ["iterations", "samples"])
def test_junk_in_the_attempts_of_a_state(key: Any, junk: Any):
    config = LatentSeekConfig(max_new_tokens=8, fraction=0.5)
    search = Search(tiny_backbone(), ScriptedVerifier([-1.0]), config)
    state: Any = dict(next(run(search, draft(search, "What is 2 + 2?"))))
    state[key] = junk
    with pytest.raises(InputError, match="the attempts in this state are damaged, or no attempts"):
        next(run(search, state))
