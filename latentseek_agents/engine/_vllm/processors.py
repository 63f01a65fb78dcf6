"""Our logits processor in the forms of vLLM's two model runners.

The classes are made when they are needed, since their bases are vLLM's. Each holds the rows of one backbone
weakly: vLLM keeps classes in a cache for ever.
"""

import weakref
from typing import Any

from latentseek_agents.engine._vllm.row_logits import RequestRow, RowLogits

__all__ = ["batched_processor", "row_processor"]


def row_processor(rows: RowLogits) -> type[Any]:
    """For the V1 model runner, which the CPU uses: requests by their rows in the batch.

    Args:
        rows: The requests of the backbone.
    """
    from vllm.v1.sample.logits_processor import LogitsProcessor, process_dict_updates

    kept = weakref.ref(rows)

    class LatentSeekRowProcessor(LogitsProcessor):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
            self._entries: dict[int, tuple[RequestRow, list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            process_dict_updates(self._entries, batch_update, _entry)

        def apply(self, logits: Any) -> Any:
            if self._entries and (here := kept()) is not None:
                # With asynchronous scheduling the last entry stands for a token that is not known yet.
                here.apply(logits, [(n, row, len(added)) for n, (row, added) in self._entries.items()])
            return logits

    def _entry(params: Any, _: Any, added: list[int]) -> tuple[RequestRow, list[int]] | None:
        here = kept()
        row = here.find(params.extra_args) if here is not None else None
        return None if row is None else (row, added)

    return LatentSeekRowProcessor


def batched_processor(rows: RowLogits) -> type[Any]:
    """For the V2 model runner, which a GPU uses: requests by slots that stay theirs, all rows at once.

    Args:
        rows: The requests of the backbone.
    """
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

    kept = weakref.ref(rows)

    class LatentSeekBatchedProcessor(LogitsProcessor):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, req_states: Any) -> None:
            self._slots: dict[int, RequestRow] = {}

        def add_request(self, req_idx: int, sampling_params: Any) -> bool:
            self._slots.pop(req_idx, None)
            here = kept()
            row = here.find(sampling_params.extra_args) if here is not None else None
            if row is not None:
                self._slots[req_idx] = row
            return row is not None

        def apply(self, logits: Any, ctx: Any) -> Any:
            here = kept()
            if here is None or not self._slots:
                return logits
            # Without speculative decoding each request has one row, in the order of the batch, and the
            # host knows exactly how many tokens each has.
            lengths = ctx.seq_lens_upper_bound_np
            here.apply(
                logits,
                [
                    (number, row, int(lengths[number]) - row.prompt_length)
                    for number, slot in enumerate(ctx.idx_mapping_np.tolist())
                    if (row := self._slots.get(slot)) is not None
                ],
            )
            return logits

    return LatentSeekBatchedProcessor
