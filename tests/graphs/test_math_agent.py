"""The math agent: tools are called, the conclusion is judged, and refined if it does not pass."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_supervisor import create_supervisor

from latentseek_agents import ChatLatentSeek, LatentSeekConfig, Verdict
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import BackboneError, ConfigError, InputError
from latentseek_agents.graphs import RefineContext, create_math_agent
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_backbone
from latentseek_agents.tools import StepVerifier
from tests.chat.test_standard import hermes_tokenizer

QUESTION = "What is 3 * 24 + 8?"
CALL = '<tool_call>\n{"name": "calculate", "arguments": {"expression": "3 * 24"}}\n</tool_call>'
BROKEN = '<tool_call>\n{"name": "calculate", "arguments": {"expression": "half of it"}}\n</tool_call>'
RIGHT = "3 * 24 = 72. 72 + 8 = 80. \\boxed{80}"
WRONG = "3 * 24 = 71. 71 + 8 = 79. \\boxed{79}"
CONFIG = LatentSeekConfig(max_iterations=2, fraction=0.5, max_new_tokens=160)


def run(replies: list[str], verifier: Any = None, **options: Any) -> dict[str, Any]:
    backbone = scripted_backbone(replies)
    agent: Any = create_math_agent(
        backbone, verifier=verifier or StepVerifier(), config=CONFIG, **options
    ).compile()
    result: dict[str, Any] = agent.invoke({"question": QUESTION})
    return result


def kinds(result: dict[str, Any]) -> list[str]:
    return [message.type for message in result["messages"]]


def test_computes_with_a_tool_and_concludes():
    result = run([CALL, RIGHT])
    assert kinds(result) == ["human", "ai", "tool", "ai"]
    assert "72" in result["messages"][2].text
    assert (result["answer"], result["passed"], result["stop_reason"]) == ("80", True, "passed")
    assert result["text"] == RIGHT == result["messages"][-1].text
    assert len(result["iterations"]) == 1


def test_a_conclusion_that_fails_is_refined_with_what_was_computed():
    asked: list[str] = []

    def verifier(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        asked.append(question)
        return StepVerifier()(question, solution, reference=reference)

    result = run([CALL, WRONG, RIGHT], verifier)
    assert (result["answer"], result["passed"], result["stop_reason"]) == ("80", True, "passed")
    assert [entry["text"] for entry in result["iterations"]] == [WRONG, RIGHT]
    assert result["messages"][-1].text == RIGHT
    assert result["messages"][-1].response_metadata["passed"] is True
    assert asked[0] == QUESTION
    assert asked[1].startswith(QUESTION)
    assert "calculate" in asked[1]
    assert "72" in asked[1]


def test_a_model_that_calls_no_tools_is_checked_and_refined_all_the_same():
    result = run([WRONG, RIGHT], tools=[])
    assert result["passed"] is True
    assert kinds(result) == ["human", "ai", "ai"]


def test_nothing_that_passes_returns_the_best_and_no_second_message():
    result = run([WRONG], ScriptedVerifier([-0.5, -1.0]))
    assert (result["text"], result["score"], result["passed"]) == (WRONG, -0.5, False)
    assert result["stop_reason"] == "iterations"
    assert kinds(result) == ["human", "ai"]


def test_rounds_of_tools_are_bounded():
    result = run([CALL, CALL, CALL, RIGHT], max_tool_rounds=2)
    assert sum(isinstance(message, ToolMessage) for message in result["messages"]) == 2
    assert result["iterations"]


def test_a_call_that_fails_is_told_to_the_model():
    result = run([BROKEN, RIGHT])
    (told,) = [message for message in result["messages"] if isinstance(message, ToolMessage)]
    assert "rror" in told.text
    assert result["passed"] is True


def test_messages_go_in_and_come_out():
    agent: Any = create_math_agent(scripted_backbone([RIGHT]), verifier=StepVerifier(), config=CONFIG)
    messages = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    result = agent.compile().invoke({"messages": messages})
    assert [message.text for message in result["messages"][:2]] == ["Be brief.", QUESTION]
    assert (result["question"], result["answer"]) == (QUESTION, "80")


def test_a_second_question_on_the_same_thread_starts_afresh():
    agent: Any = create_math_agent(
        scripted_backbone([RIGHT, "5 * 5 = 25. \\boxed{25}"]), verifier=StepVerifier(), config=CONFIG
    ).compile(checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    assert agent.invoke({"question": QUESTION}, thread)["answer"] == "80"
    second = agent.invoke({"question": "What is 5 * 5?"}, thread)
    assert (second["answer"], len(second["iterations"])) == ("25", 1)
    assert [m.text for m in second["messages"] if isinstance(m, HumanMessage)] == [QUESTION, "What is 5 * 5?"]
    # A chat goes on with a message; the question that the state still holds is the one before.
    third = agent.invoke({"messages": [HumanMessage("And 6 * 6?")]}, thread)
    assert third["question"] == "And 6 * 6?"
    assert [m.text for m in third["messages"] if isinstance(m, HumanMessage)][2:] == ["And 6 * 6?"]
    again = agent.invoke({"question": QUESTION}, thread)
    assert (again["question"], again["messages"][-2].text) == (QUESTION, QUESTION)


@pytest.mark.parametrize("passes", [True, False])
def test_a_thread_keeps_neither_the_reference_nor_the_rounds_of_the_run_before(passes: bool):
    references: list[str | None] = []

    def verifier(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        references.append(reference)
        return Verdict(0.0 if passes else -1.0, passes)

    def script(prompt: str) -> str:
        return RIGHT if "<tool_response>" in prompt.rpartition("<|im_start|>user")[2] else CALL

    agent: Any = create_math_agent(
        scripted_backbone(script), verifier=verifier, config=CONFIG, max_tool_rounds=1
    ).compile(checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    agent.invoke({"question": QUESTION, "reference": 80}, thread)
    assert set(references) == {"80"}
    references.clear()
    result = agent.invoke({"question": "And 4 * 24 + 8?"}, thread)
    assert set(references) == {None}
    assert sum(isinstance(message, ToolMessage) for message in result["messages"]) == 2


def test_works_as_a_node_among_messages():
    agent = create_math_agent(scripted_backbone([CALL, RIGHT]), verifier=StepVerifier(), config=CONFIG)
    builder = StateGraph(MessagesState)
    builder.add_node("math", agent.compile())
    builder.add_edge(START, "math")
    graph: Any = builder.compile()
    result = graph.invoke({"messages": [HumanMessage(QUESTION)]})
    assert isinstance(result["messages"][-1], AIMessage)
    assert result["messages"][-1].text == RIGHT
    assert kinds(result) == ["human", "ai", "tool", "ai"], "its instructions are not the others'"


def test_what_a_supervisor_says_is_neither_a_round_nor_a_result():
    asked: list[str] = []

    def verifier(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        asked.append(question)
        return Verdict(-1.0, False)

    call = {"name": "transfer_to_math", "args": {}, "id": "1"}
    handover = [
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[call]),
        ToolMessage("Successfully transferred to math", tool_call_id="1", name="transfer_to_math"),
    ]
    agent: Any = create_math_agent(
        scripted_backbone([CALL, WRONG]), verifier=verifier, config=CONFIG, max_tool_rounds=1
    )
    result = agent.compile(name="math").invoke({"messages": handover})
    assert kinds(result)[3:5] == ["ai", "tool"]
    assert "calculate" in asked[1]
    assert "transfer" not in asked[1]


def test_the_budgets_are_those_of_the_whole_run():
    agent: Any = create_math_agent(
        scripted_backbone([CALL, WRONG, RIGHT]),
        verifier=StepVerifier(),
        config=CONFIG.replace(max_total_tokens=len(CALL) + 5),
    )
    result = agent.compile().invoke({"question": QUESTION})
    assert (result["answer"], result["passed"], result["stop_reason"]) == ("79", False, "tokens")
    assert len(result["iterations"]) == 1, "what the reasoning wrote counts"

    def slow(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        time.sleep(0.3)
        return Verdict(-1.0, False)

    agent = create_math_agent(
        scripted_backbone([RIGHT]), verifier=slow, config=CONFIG.replace(max_seconds=0.3)
    )
    result = agent.compile().invoke({"question": QUESTION})
    assert (result["stop_reason"], len(result["iterations"])) == ("seconds", 1)


def test_a_run_may_change_the_settings_of_the_reasoning_as_well():
    backbone = scripted_backbone(lambda _: WRONG)
    graph: Any = create_math_agent(backbone, verifier=StepVerifier(), config=CONFIG).compile()
    context = RefineContext(max_new_tokens=4, max_iterations=1)
    result = graph.invoke({"question": QUESTION}, context=context)
    assert result["iterations"][0]["text"] == WRONG[:4]
    whole = graph.invoke({"question": QUESTION})
    assert whole["iterations"][0]["text"] == WRONG, "the change was that run's"


# The package still builds on what LangGraph deprecated.
@pytest.mark.filterwarnings("ignore::langgraph.warnings.LangGraphDeprecatedSinceV10")
@pytest.mark.parametrize("mode", ["last_message", "full_history"])
def test_works_under_langgraph_supervisor(mode: Any) -> None:
    handover = '<tool_call>\n{"name": "transfer_to_math", "arguments": {}}\n</tool_call>'

    def direct(prompt: str) -> str:
        return "The expert says so." if RIGHT in prompt else handover

    director = ChatLatentSeek(backbone=scripted_backbone(direct, hermes_tokenizer()))
    agent = create_math_agent(scripted_backbone([CALL, RIGHT]), verifier=StepVerifier(), config=CONFIG)
    team: Any = create_supervisor([agent.compile(name="math")], model=director, output_mode=mode)
    result = team.compile().invoke({"messages": [HumanMessage(QUESTION)]}, {"recursion_limit": 30})
    assert result["messages"][-1].text == "The expert says so."
    assert RIGHT in [message.text for message in result["messages"]]


def test_the_search_tells_its_progress_and_the_state_is_plain():
    agent: Any = create_math_agent(
        scripted_backbone([WRONG, RIGHT]), verifier=StepVerifier(), config=CONFIG
    ).compile()
    chunks = list(agent.stream({"question": QUESTION}, stream_mode=["custom", "values"]))
    events = [chunk for mode, chunk in chunks if mode == "custom"]
    assert [event["type"] for event in events] == ["latentseek_iteration"]
    last = chunks[-1][1]
    plain = {key: value for key, value in last.items() if key != "messages"}
    assert json.loads(json.dumps(plain)) == plain


def test_a_chat_model_of_ones_own(tiny: Backbone):
    chat = ChatLatentSeek(backbone=scripted_backbone([RIGHT]))
    agent: Any = create_math_agent(chat, verifier=StepVerifier(), config=CONFIG)
    assert agent.compile().invoke({"question": QUESTION})["passed"] is True
    other: Any = create_math_agent(chat, backbone=tiny, verifier=ScriptedVerifier([-1]), config=CONFIG)
    assert len(other.compile().invoke({"question": QUESTION})["iterations"]) > 1


def test_a_chat_model_by_name_brings_the_model_that_it_names(tmp_path: Path):
    backbone = tiny_backbone(max_position_embeddings=8192)
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    agent: Any = create_math_agent(
        ChatLatentSeek(model=str(tmp_path), max_tokens=8),
        verifier=ScriptedVerifier([-1, 0]),
        config=CONFIG.replace(max_new_tokens=8),
    )
    assert len(agent.compile().invoke({"question": QUESTION})["iterations"]) == 2


def test_bad_settings_and_no_question():
    backbone = scripted_backbone([RIGHT])
    with pytest.raises(ConfigError, match="max_tool_rounds=-1"):
        create_math_agent(backbone, max_tool_rounds=-1)
    with pytest.raises(BackboneError, match="needs a Backbone"):
        create_math_agent("a model")  # type: ignore[arg-type]
    agent: Any = create_math_agent(backbone, verifier=StepVerifier(), config=CONFIG)
    with pytest.raises(InputError, match="no question"):
        agent.compile().invoke({"messages": []})
    with pytest.raises(InputError, match="must be a string"):
        agent.compile().invoke({"question": 7})
    with pytest.raises(InputError, match="reference must be"):
        agent.compile().invoke({"question": QUESTION, "reference": [80]})
