"""LangChain's standard suites for chat models, on a scripted model that calls tools in Hermes' format.

The same suites on a trained model are in tests/integration/test_chat_smollm2.py.
"""

import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from latentseek_agents import ChatLatentSeek
from latentseek_agents.testing import scripted_backbone, tiny_backbone, tiny_tokenizer

HERMES = (
    "{% if tools %}{{ '<|im_start|>system\\nTools:' }}"
    "{% for t in tools %}{{ '\\n' }}{{ t | tojson }}{% endfor %}"
    "{{ '\\nCall with <tool_call></tool_call>.<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] }}"
    "{% for c in m['tool_calls'] or [] %}"
    "{{ '<tool_call>' }}{{ c['function'] | tojson }}{{ '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}"
)


def hermes_tokenizer() -> Any:
    """The tiny tokenizer with a template that knows tools."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = HERMES
    return tokenizer


def example_of(name: str, schema: dict[str, Any]) -> Any:
    """A value that fits a schema."""
    schema = next(iter(schema.get("anyOf", [schema])))
    if schema.get("type") == "object":
        return {key: example_of(key, part) for key, part in schema.get("properties", {}).items()}
    return {"integer": 3, "number": 1.5, "boolean": True}.get(schema.get("type", ""), f"some {name}")


def obedient(prompt: str) -> str:
    """What a well-trained model would reply: it calls a tool until there is a result."""
    tools = [json.loads(line) for line in prompt.splitlines() if line.startswith('{"type": "function"')]
    if "one JSON object" in prompt:
        return json.dumps({"setup": "Why?", "punchline": "Because."})
    if not tools or "<|im_start|>tool" in prompt:
        return "I am well, thank you. And how do they do, those of yours?"
    function = tools[0]["function"]
    arguments = example_of("", function["parameters"])
    for name in arguments:
        quoted = re.findall(r"customer named '([^']+)'", prompt)
        arguments[name] = quoted[-1] if name == "customer_name" and quoted else arguments[name]
    call = {"name": function["name"], "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"


class ChatOfTests:
    """What both suites are told."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLatentSeek

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"backbone": scripted_backbone(obedient, hermes_tokenizer())}

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestUnit(ChatOfTests, ChatModelUnitTests):
    pass


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on disk, to be called by its name."""
    folder = tmp_path_factory.mktemp("model")
    backbone = tiny_backbone()
    backbone.model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return folder


class TestScripted(ChatOfTests, ChatModelIntegrationTests):
    _folder = ""

    @pytest.fixture(autouse=True)
    def _on_disk(self, model_folder: Path) -> None:
        type(self)._folder = str(model_folder)

    @property
    def model_override_value(self) -> str:
        return self._folder


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
class TestStructuredMethods:
    """The structured output of the suite with each of the methods that it does not choose itself."""

    def test_typed_dict(self, method: Literal["function_calling", "json_schema"]) -> None:
        chat = ChatLatentSeek(backbone=scripted_backbone(obedient, hermes_tokenizer()))
        schema = {
            "title": "Joke",
            "type": "object",
            "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
            "required": ["setup", "punchline"],
        }
        found = chat.with_structured_output(schema, method=method).invoke("A joke!")
        assert set(found) == {"setup", "punchline"}
