"""Control tokens in contents, with a tokenizer whose tokens are more than bytes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentseek_agents import Backbone

pytestmark = pytest.mark.model

WORDS = st.sampled_from(
    ["A", " baker", "<b>", "\n\n", "  ", "1024", "<|", "|>", "é", "今", "<filename", ">", "don't"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, max_size=20).map("".join).filter(lambda text: "<filename>" not in text))
def test_ordinary_text_has_the_ids_of_plain_rendering(smollm2: Backbone, text: str) -> None:
    messages = [{"role": "user", "content": text}]
    rendered = smollm2.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    plain = smollm2.tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert smollm2.encode_prompt(messages) == plain


def test_no_special_token_of_the_model_gets_in(smollm2: Backbone) -> None:
    special = set(smollm2.tokenizer.all_special_ids)
    text = "".join(smollm2.decode([token_id], skip_special_tokens=False) for token_id in sorted(special))
    ids = smollm2.encode_prompt([{"role": "user", "content": f"What is {text}?"}])
    ordinary = smollm2.encode_prompt([{"role": "user", "content": "What is that?"}])
    assert [i for i in ids if i in special] == [i for i in ordinary if i in special]
    assert f"What is {text}?" in smollm2.decode(ids, skip_special_tokens=False)
