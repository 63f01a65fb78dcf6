"""Load the model and the verifiers that a command names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from latentseek_agents.cli.process import fast_imports

if TYPE_CHECKING:
    from rich.console import Console

    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.engine.backbone import Backbone
    from latentseek_agents.verdict import Verifier

EMBEDDED = "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class ModelOptions:
    """Which model to load, and how."""

    model: Annotated[
        str | None, typer.Option(help=f"Hugging Face name, folder or GGUF file. [default: {EMBEDDED}]")
    ] = None
    gguf_file: Annotated[str | None, typer.Option(help="GGUF file, within --model or by itself.")] = None
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; int8 on a CPU.")] = None
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda.")] = None
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False
    engine: Annotated[
        str | None, typer.Option(help="What writes the tokens: own or vllm.", show_default="own")
    ] = None
    vllm_args: Annotated[
        str | None,
        typer.Option(help="Arguments of vLLM's engine: '{\"gpu_memory_utilization\": 0.8}'.", metavar="JSON"),
    ] = None

    @property
    def is_embedded(self) -> bool:
        """Whether no model is named."""
        return self.model is None and self.gguf_file is None

    @property
    def name(self) -> str:
        """The model's name for messages."""
        return self.model or self.gguf_file or EMBEDDED


def load_backbone(
    model: str | None = None,
    *,
    gguf_file: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
    engine: str | None = None,
    vllm_args: str | None = None,
    rows: int | None = None,
    fastest: bool = False,
) -> "Backbone":
    """Load a model, without the libraries' own progress bars and advice.

    Args:
        model: A Hugging Face name, a folder or a GGUF file; None is the embedded model.
        gguf_file: A GGUF file in that repository or folder, or by itself the path of one.
        dtype: As in ``Backbone.from_pretrained``.
        device: As in ``Backbone.from_pretrained``.
        trust_remote_code: As in ``Backbone.from_pretrained``.
        engine: ``"own"``, or ``"vllm"`` as in ``Backbone.vllm``; None is ``"own"``.
        vllm_args: Arguments of vLLM's engine as a JSON object.
        rows: Most sequences in one pass of the decoder; None: its default.
        fastest: Choose int8 if no dtype is given and the processor is fast at it.

    Raises:
        BackboneError: It cannot be loaded.
        ConfigError: The engine is unknown, or its arguments are not.
    """
    with fast_imports():
        from latentseek_agents.engine.engines import engine_arguments

    arguments = engine_arguments(engine, vllm_args, device=device)
    with fast_imports():
        import transformers

        libraries: Any = transformers.utils.logging
        libraries.set_verbosity_error()
        libraries.disable_progress_bar()

        from latentseek_agents.engine._decoding import DecodingOptions
        from latentseek_agents.engine.backbone import Backbone
        from latentseek_agents.engine.fastest import fastest_backbone

        decoding = DecodingOptions() if rows is None else DecodingOptions(max_rows=rows)
        if model is None and gguf_file is not None:
            model, gguf_file = gguf_file, None
        if arguments is not None:
            if rows is not None:
                arguments = {"max_num_seqs": rows} | arguments
            return Backbone.vllm(
                model, gguf_file=gguf_file, dtype=dtype, trust_remote_code=trust_remote_code, **arguments
            )
        options: dict[str, Any] = {"dtype": dtype, "device": device, "decoding": decoding}
        if model is not None:
            options |= {"gguf_file": gguf_file, "trust_remote_code": trust_remote_code}
        if fastest:
            return fastest_backbone(model, **options)
        return Backbone.embedded(**options) if model is None else Backbone.from_pretrained(model, **options)


def print_chosen_format(console: "Console", dtype: str | None, backbone: "Backbone") -> None:
    """Say that the weights are int8 where nobody asked for it.

    Args:
        console: Where to.
        dtype: What was asked for.
        backbone: What was loaded.
    """
    if dtype is None and backbone.number_format == "int8":
        note = "in int8, since this processor multiplies it fast; --dtype float32 for full precision"
        console.print(Text(note, style="dim"), soft_wrap=True)


def make_verifier(names: Sequence[str], backbone: "Backbone", config: "LatentSeekConfig") -> "Verifier":
    """The verifiers of these names for a search with these settings, combined if there are several."""
    with fast_imports():
        from latentseek_agents.tools.named import named_verifier

        agreement = config.acceptance == "agreement"
        return named_verifier(names, backbone, agreement=agreement)
