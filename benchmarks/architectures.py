"""Which causal LMs of transformers run a search, and does each write what it writes alone?

    python benchmarks/architectures.py                            # all, and write docs/architectures.md
    python benchmarks/architectures.py qwen3_5_text llama4_text   # these, and write no page
    python benchmarks/architectures.py --resume outcomes.jsonl    # all that are not in the file yet

With ``--resume`` every outcome goes to the file as it comes, so that a run that was ended goes on, and all
may be tried part by part: first some by their names, then the rest without names, which writes the page.
Outcomes of other versions of transformers or torch are tried again, and with ``--retry`` all that neither
work nor are refused.

Every model type that transformers maps to a causal LM is made tiny and random from its own configuration
class, in a process of its own with a time limit. Its draft is compared with the model's own ``generate``, the
draft and one refinement with either kind of latents with the oracle of the tests (a pass of the whole model
over the whole text for every token), and eight requests together with each of them alone.
"""

import argparse
import json
import logging
import multiprocessing
import os
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the oracle in tests/
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

TABLE = Path(__file__).resolve().parent.parent / "docs" / "architectures.md"
QUESTIONS = ("What is 2 + 2?", "Count to ten.", "Why?", "Name a tree.")  # the first with a draft to refine
TOKENS = 8
LEARNING_RATES = (0.3, 3.0)  # the second where the first changes nothing
_LONGEST_NOTE = 160
COMMAND = "python benchmarks/architectures.py"
_VERBS = {"works": "work", "refused": "are refused", "wrong": "write something wrong", "fails": "fail"}

# What the mapping of transformers holds besides decoder-only language models.
OTHER_KINDS = {
    "gemma4_assistant": "drafts for another model, whose keys and values it reads",
    "gemma4_unified_assistant": "drafts for another model, whose keys and values it reads",
    "moss_transcribe_diarize": "transcribes speech",
    "musicgen": "writes sound in several streams",
    "musicgen_melody": "writes sound in several streams",
    "xlnet": "predicts tokens in any order, and sees what follows them",
}


@dataclass
class Outcome:
    """What became of one model type.

    Args:
        model_type: As transformers call it.
        model_class: Its class.
        result: ``"works"``, ``"refused"``, ``"fails"``, ``"wrong"``, or ``"not generated"``: transformers
            cannot generate with it themselves.
        note: Why; or how it is decoded.
        changed: Whether a refinement changed the text.
        versions: Of transformers and torch.
    """

    model_type: str
    model_class: str
    result: str = "works"
    note: str = ""
    changed: bool = False
    versions: str = ""


def versions() -> str:
    """Those of transformers and torch."""
    return (
        f"transformers {metadata.version('transformers')} and torch "
        + (metadata.version("torch").partition("+")[0])
    )


def first_line(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {' '.join(lines[:2])}"
    return text if len(text) <= _LONGEST_NOTE else f"{text[: _LONGEST_NOTE - 2].rstrip()} …"


def try_architecture(model_type: str, model_class: str) -> Outcome:
    """Make the model, and hold everything against it."""
    import torch

    from latentseek_agents.errors import LatentSeekError
    from latentseek_agents.testing import tiny_model, tiny_tokenizer

    outcome = Outcome(model_type, model_class)
    tokenizer = tiny_tokenizer()
    try:
        model = tiny_model(model_type)
        ids = torch.tensor([[3 + (41 * i) % 250 for i in range(30)]])
        own = _generated(model, ids)
    except Exception as error:
        outcome.result, outcome.note = "not generated", first_line(error)
        return outcome
    try:
        _compare(outcome, model, tokenizer, ids[0].tolist(), own)
    except LatentSeekError as error:
        outcome.result, outcome.note = "refused", str(error).splitlines()[0]
    except Exception as error:
        outcome.result, outcome.note = "fails", first_line(error)
    return outcome


def _generated(model: Any, ids: Any) -> list[int]:
    import torch
    from transformers import GenerationConfig

    # Greedy, and nothing besides: some families force or forbid tokens by default.
    settings: Any = GenerationConfig
    model.generation_config = settings(pad_token_id=0, max_new_tokens=TOKENS, do_sample=False)
    with torch.no_grad():
        written = model.generate(ids, attention_mask=torch.ones_like(ids))
    tokens: list[int] = written[0, ids.shape[1] :].tolist()
    return tokens


def _compare(outcome: Outcome, model: Any, tokenizer: Any, ids: list[int], own: list[int]) -> None:
    from latentseek_agents import Backbone
    from latentseek_agents.engine._decoding import DecodeRequest, decode
    from tests.support import naive_search

    backbone = Backbone.from_model(model, tokenizer)
    packed = backbone.decoder.packed is not None  # type: ignore[attr-defined]
    outcome.note = "rows together"
    if not packed:
        joins = backbone.policy.joins_prompts
        outcome.note = "prompts alone, then rows together" if joins else "one prompt after another"
        if backbone.policy.cache_form.name is None:
            outcome.note += ", without a cache"
    requests = [
        DecodeRequest(
            prompt_ids=ids[: len(ids) - 3 * (i % 4)], max_new_tokens=TOKENS, end_token_ids=frozenset()
        )
        for i in range(8)
    ]
    together = [one.token_ids for one in decode(backbone, requests)]
    fresh = Backbone.from_model(model, tokenizer)
    alone = [decode(fresh, [one])[0].token_ids for one in requests[:4]]
    plain, _ = naive_search.greedy(model, ids, [], TOKENS)
    if own != plain:
        outcome.note += "; `generate` differs from a pass over the whole text"
    if together[0] not in (own, plain):
        outcome.result = "wrong"
        outcome.note = (
            f"draft {together[0]}, but `generate` writes {own}, and a pass over all each time {plain}"
        )
    elif together != alone * 2:
        outcome.result, outcome.note = "wrong", "a batch of eight differs from eight alone"
    elif together[0] != plain:
        outcome.note += ", so its refinement was not compared"
    else:
        _compare_searches(outcome, backbone)


def _compare_searches(outcome: Outcome, backbone: Any) -> None:
    from latentseek_agents import LatentSeekConfig
    from latentseek_agents.engine.search import draft, prompt_token_ids, refine
    from tests.support import naive_search

    for kind in ("independent", "consistent"):
        for question, rate in product(QUESTIONS, LEARNING_RATES):
            config = LatentSeekConfig(
                prompt=str, max_new_tokens=TOKENS, fraction=0.5, learning_rate=rate, latents=kind
            )
            prompt = prompt_token_ids(backbone, question, config)
            written, _ = naive_search.greedy(backbone.model, prompt, [], TOKENS, backbone.eos_token_ids)
            if len(written) < TOKENS // 2 and question != QUESTIONS[-1]:
                continue
            expected = naive_search.search(
                backbone.model,
                prompt,
                consistent=kind == "consistent",
                scores=[-1.0],
                limit=TOKENS,
                fraction=0.5,
                learning_rate=rate,
                ends=backbone.eos_token_ids,
            )
            if expected[0] != expected[1] or rate == LEARNING_RATES[-1]:
                break
        outcome.changed |= expected[0] != expected[1]
        first = draft(backbone, question, config)
        judged = [type(one)(**one.to_dict() | {"score": -1.0}) for one in first.attempts]
        second = refine(backbone, question, config, latents=first.latents, samples=judged)
        got = [first.attempts[0].token_ids, second.attempts[0].token_ids]
        if got != expected:
            outcome.result = "wrong"
            outcome.note = f"a search with {kind} latents wrote {got}, the oracle {expected}"
            return


def _child(model_type: str, model_class: str, answers: Any) -> None:
    import torch
    import transformers

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    log: Any = transformers.logging
    log.set_verbosity_error()
    logging.disable(logging.WARNING)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = nowhere
        answers.send(asdict(try_architecture(model_type, model_class)))


def tried(model_type: str, model_class: str, seconds: float) -> Outcome:
    """Try one model type in a process of its own, which has so many seconds."""
    return replace(_tried(model_type, model_class, seconds), versions=versions())


def _tried(model_type: str, model_class: str, seconds: float) -> Outcome:
    context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(model_type, model_class, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            return Outcome(model_type, model_class, "fails", f"not done within {seconds:.0f} s")
        return Outcome(**ours.recv())
    except EOFError:
        process.join()
        return Outcome(model_type, model_class, "fails", f"its process died (exit code {process.exitcode})")
    finally:
        process.kill()
        process.join()


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many there are of each kind, in one sentence."""
    language = [one for one in outcomes if one.model_type not in OTHER_KINDS]
    able = [one for one in language if one.result != "not generated"]
    counts = Counter(one.result for one in able)
    told = ", ".join(f"{count} {_VERBS[result]}" for result, count in counts.most_common())
    return (
        f"{len(outcomes)} model types, {len(language)} of them decoder-only language models; transformers "
        f"generate with {len(able)} of these: {told} ({counts['works'] / max(1, len(able)):.1%} work)."
    )


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The table."""
    rows = [
        f"| `{one.model_type}` | `{one.model_class}` | {one.result} | {_told(one)} |"
        for one in sorted(outcomes, key=lambda one: (one.result == "works", one.model_type))
    ]
    return "\n".join(
        [
            "# Architectures",
            "",
            f"Made by `{COMMAND}` with {versions()} from tiny random models. {summary(outcomes)}",
            "",
            "- *works*: draft and one refinement with either kind of latents are, token for token, those of "
            "a plain computation without a cache, unless the note says that the refinement was not compared; "
            "and eight requests together write what each writes alone.",
            "- *refused*: making a `Backbone` of it raises an error that says why.",
            "- *not generated*: `generate` of transformers fails with the tiny model, so it does not count.",
            "",
            "Requests share forward passes: all of them (*rows together*); all, once each has read its "
            "prompt in passes of its own (*prompts alone, then rows together*); or only those with the "
            "same prompt, while those with other prompts take turns (*one prompt after another*). "
            "Encoders that can be decoders were made such (`is_decoder=True`). Of models that see or hear "
            "the text part counts: `gemma3n` itself cannot be made without the package timm, and its text "
            "part is `gemma3n_text`.",
            "",
            "| model type | class | result | how, or why not |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _told(one: Outcome) -> str:
    note = one.note.replace("|", "\\|")
    if one.model_type in OTHER_KINDS:
        return f"does not count: it {OTHER_KINDS[one.model_type]}; {note}"
    return note


def main(arguments: Sequence[str] | None = None) -> None:
    """Try all, or those named.

    Args:
        arguments: Of the command line.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model_type", nargs="*", help="only these")
    parser.add_argument("--seconds", type=float, default=300.0, help="time limit of each")
    parser.add_argument("--workers", type=int, default=1, help="how many at a time")
    parser.add_argument("--resume", type=Path, help="JSON Lines: outcomes go there, and those there are kept")
    parser.add_argument(
        "--retry", action="store_true", help="try again what was wrong, failed or took too long"
    )
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.model_type if name not in NAMES]
    if unknown:
        parser.error(f"transformers map {', '.join(unknown)} to no causal LM")
    names = asked.model_type or list(NAMES)
    classes = {name: kind if isinstance(kind, str) else kind[0] for name, kind in NAMES.items()}
    outcomes = known(asked.resume, retry=asked.retry)
    left = [name for name in names if name not in outcomes]
    with ThreadPoolExecutor(asked.workers) as pool:
        for one in pool.map(partial(tried, seconds=asked.seconds), left, [classes[name] for name in left]):
            outcomes[one.model_type] = one
            unchanged = "; a refinement changed nothing" if one.result == "works" and not one.changed else ""
            print(f"{one.model_type:28} {one.result:14} {one.note}{unchanged}", flush=True)
            if asked.resume:
                with asked.resume.open("a") as file:
                    file.write(json.dumps(asdict(one)) + "\n")
    made = [outcomes[name] for name in names]
    print(summary(made))
    if not asked.model_type:
        TABLE.write_text(markdown(made))
        print(f"written: {TABLE}")


def known(file: Path | None, *, retry: bool = False) -> dict[str, Outcome]:
    """What earlier runs with these versions wrote down, the last outcome of each model type.

    Args:
        file: JSON Lines; a line that was torn off is left out.
        retry: Leave out what was wrong or failed.
    """
    found: dict[str, Outcome] = {}
    for line in file.read_text().splitlines() if file is not None and file.exists() else []:
        try:
            one = Outcome(**json.loads(line))
        except (TypeError, ValueError):
            continue
        found[one.model_type] = one
    return {
        name: one
        for name, one in found.items()
        if one.versions == versions() and not (retry and one.result in ("wrong", "fails"))
    }


if __name__ == "__main__":
    main()
