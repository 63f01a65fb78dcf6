"""What must be the same for results to belong together, and which code made them."""

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import latentseek_agents
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.errors import LatentSeekError

_PACKAGES = ("latentseek-agents", "torch", "transformers", "sympy")
# Numbers, letters beyond ASCII, mathematics and white space: where tokenizers differ.
_PROBE = "What is 12 + 345.67 / 8?\n\nGib ½ · x² ≤ 3 für Zoë an,  bitte;\t数学 \\frac{1}{2} $9,876"

# What templates ask for the date: before a template, it stands in for the real one.
_STOPPED_CLOCK = "{%- macro strftime_now(form) -%}{{ form }}{%- endmacro -%}"


def run_settings(backbone: Backbone, config: LatentSeekConfig, *, temperature: float) -> dict[str, Any]:
    """What must be the same for results to belong together, as plain values; and the model's name.

    Methods, prompts and problems may be added to a run later; all else is in here.
    """
    return {
        "model": backbone.name,
        "model_hash": model_fingerprint(backbone),
        "prompt_hash": prompt_fingerprint(backbone),
        "dtype": backbone.number_format,
        "device": backbone.device.type,
        **settings_without_model(config, temperature=temperature),
    }


def settings_without_model(config: LatentSeekConfig, *, temperature: float) -> dict[str, Any]:
    """The part of :func:`run_settings` that is known before a model is loaded."""
    return {
        "temperature": temperature,
        "config": config.model_dump(mode="json", exclude={"prompt"}),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
    }


def model_fingerprint(backbone: Backbone) -> str:
    """A hash of the model: see ``weights_fingerprint`` in ``engine/policy.py``.

    Example:
        >>> from latentseek_agents.testing import tiny_backbone
        >>> model_fingerprint(tiny_backbone()) == model_fingerprint(tiny_backbone())
        True
    """
    from latentseek_agents.engine.policy import weights_fingerprint

    return weights_fingerprint(backbone.model)


def prompt_fingerprint(backbone: Backbone) -> str:
    """A hash of what the model reads for a question, and of what ends its answer.

    Tokenizer, chat template and the words of both prompts are in it. A date that the template writes is not:
    a run that goes on after midnight is the same run.

    Example:
        >>> from latentseek_agents.testing import tiny_backbone
        >>> prompt_fingerprint(tiny_backbone()) == prompt_fingerprint(tiny_backbone(chat=False))
        False
    """
    read: list[Any] = [_probed(backbone, "boxed"), _probed(backbone, "json")]
    text = json.dumps([*read, sorted(backbone.eos_token_ids)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _probed(backbone: Backbone, prompt: Any) -> list[int] | str:
    """The ids of the probe in a prompt; the kind of error where there is no room for it, say."""
    template = getattr(backbone.tokenizer, "chat_template", None)
    dated = isinstance(template, str) and "strftime_now" in template
    timeless = f"{_STOPPED_CLOCK}{template}" if dated else None
    try:
        return backbone.encode_prompt(prompt_for(_PROBE, prompt), chat_template=timeless)
    except LatentSeekError as error:
        return type(error).__name__


def code_fingerprint() -> str | None:
    """A hash of this package's own sources, as they lie on the disk: the same, installed or from a checkout.

    It takes some milliseconds. None where there are no sources to be read.

    Example:
        >>> code_fingerprint() == code_fingerprint()
        True
    """
    digest = hashlib.blake2b(digest_size=8)
    sources = list(_sources(Path(latentseek_agents.__file__).parent))
    for name, path in sources:
        content = path.read_bytes().replace(b"\r\n", b"\n")  # as git may check it out on Windows
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest() if sources else None


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Files by their names within the package; in a checkout two of its folders are links."""
    for folder, below, files in os.walk(root, followlinks=True):
        below.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), path
