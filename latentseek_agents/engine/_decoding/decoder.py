"""The decoder of a policy that is loaded in this process."""

import atexit
import os
import threading
import weakref
from collections.abc import Sequence

from latentseek_agents.engine._decoding.kv_cache import PrefixCache, affordable_tokens
from latentseek_agents.engine._decoding.packed_forward import packed_model_for
from latentseek_agents.engine._decoding.plain import decode_alone
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest, DecodingOptions
from latentseek_agents.engine._decoding.scheduler import BatchDecoder, join_threads
from latentseek_agents.engine._fair_lock import FairLock
from latentseek_agents.engine.policy import Policy

_decoders: "weakref.WeakSet[ModelDecoder]" = weakref.WeakSet()


class ModelDecoder:
    """Decodes in batches where the model allows it, else one request after the other.

    Args:
        policy: The frozen model.
        options: Limits.

    Attributes:
        prefix_cache: Keys and values of recent prompts and completions.
    """

    def __init__(self, policy: Policy, options: DecodingOptions) -> None:
        self.prefix_cache = PrefixCache(
            options.max_kept_tokens
            or affordable_tokens(policy, most_bytes=2**30, most_tokens=16_384, gpu_share=0.125)
        )
        self._policy = policy
        self._options = options
        self._lock = threading.Lock()
        self._examined = False
        self._batch: BatchDecoder | None = None
        _decoders.add(self)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""
        return self._policy.vocabulary_size

    @property
    def batch(self) -> BatchDecoder | None:
        """What joins the requests of all callers; None if this model is decoded one request at a time."""
        with self._lock:
            if not self._examined:
                packed = packed_model_for(self._policy, self._options)
                if packed is not None:
                    self._batch = BatchDecoder(self._policy, packed, self._options, self.prefix_cache)
                self._examined = True
        return self._batch

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Completion]:
        """One completion per request, in their order."""
        if self._policy.lock.held:  # the decoder's thread would wait for it for ever
            raise RuntimeError("this thread holds the lock of the backbone; release it before decoding")
        if self.batch is not None:
            return self.batch.decode(requests)
        cache = self.prefix_cache if self._options.reuse else None
        return [decode_alone(self._policy, cache, request) for request in requests]

    def close(self) -> None:
        """End the thread of the batches after the pass that it is in."""
        if self._batch is not None:
            self._batch.close()

    def after_fork(self) -> None:
        """Replace locks: those that other threads held are never released in a child process."""
        self._policy.lock = FairLock()
        self._lock = threading.Lock()
        self.prefix_cache.after_fork()
        if self._batch is not None:
            self._batch.after_fork()


@atexit.register
def _close_all() -> None:
    # A daemon thread in the middle of a forward pass would abort the process when the interpreter goes.
    for decoder in list(_decoders):
        decoder.close()
    join_threads()


def _after_fork() -> None:
    for decoder in list(_decoders):
        decoder.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
