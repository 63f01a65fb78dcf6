"""The callers of one decoder: they share passes, and what befalls one does not touch the others."""

import copy
import functools
import gc
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from latentseek_agents import LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import Completion, DecodeRequest, decode
from latentseek_agents.engine._decoding import scheduler as batch_decoding
from latentseek_agents.engine._decoding.row import RowCall
from latentseek_agents.engine._decoding.scheduler import ModelDecoder
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.errors import NonFiniteError
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
from tests.support.batch_decoding import assert_naive, decoder_of, entered, fresh, naive, request, text, until

BROKEN = 241  # a token that the tests do not write; its embedding is NaN in `damaged`


class Interrupt(BaseException):
    """Like KeyboardInterrupt, which would end the test run if it went astray."""


@contextmanager
def together(backbone: Backbone) -> Iterator[Any]:
    """A function that calls from a thread of its own; all calls start when the block ends, in their order."""
    decoder, rows = decoder_of(backbone), 0
    with ThreadPoolExecutor(8) as pool, backbone.policy.lock:

        def call(*requests: DecodeRequest, checked: bool = True) -> Future[list[Completion]]:
            nonlocal rows
            rows += len(requests)
            work = functools.partial(decode, backbone) if checked else decoder.decode
            future = pool.submit(work, requests)
            until(entered(decoder, rows))
            return future

        yield call


def damaged(backbone: Backbone, **options: Any) -> Backbone:
    model = copy.deepcopy(backbone.model)
    with torch.no_grad():
        model.model.embed_tokens.weight[BROKEN] = float("nan")
    return fresh(Backbone.from_model(model, backbone.tokenizer), **options)


def clean(count: int, seed: int = 0) -> list[int]:
    return [3 if token == BROKEN else token for token in text(count, seed)]


def assert_answered(backbone: Backbone, asked: DecodeRequest, future: Future[list[Completion]]) -> None:
    (completion,) = future.result()
    assert_naive(backbone, asked, completion)


def test_calls_from_many_threads_share_passes(any_backbone: Backbone):
    backbone = fresh(any_backbone, speculate=False)
    requests = [request(prompt_ids=text(5 + i, i)) for i in range(4)]
    with together(backbone) as call:
        futures = [call(asked) for asked in requests]
    for asked, future in zip(requests, futures, strict=True):
        assert_answered(backbone, asked, future)
    # The first may have been alone in one pass: it was there before the others came.
    assert decoder_of(backbone).passes <= 13
    assert decoder_of(backbone).most_rows == 4


def test_32_threads_at_once(tiny: Backbone):
    backbone, barrier = fresh(tiny, max_rows=8, max_cached_tokens=400), threading.Barrier(32)
    requests = [request(prompt_ids=text(4 + i % 9, i % 5), forced_ids=text(i % 4, i)) for i in range(32)]

    def call(asked: DecodeRequest) -> list[Completion]:
        barrier.wait()
        return [decode(backbone, [asked])[0] for _ in range(3)]

    with ThreadPoolExecutor(32) as pool:
        for asked, completions in zip(requests, pool.map(call, requests), strict=True):
            tokens, _ = naive(tiny, asked)
            assert [completion.token_ids for completion in completions] == [tokens] * 3
    assert decoder_of(backbone).most_rows > 1


@pytest.mark.parametrize("error", [ValueError, Interrupt])
def test_a_callback_that_raises_ends_its_own_call_only(tiny: Backbone, error: type[BaseException]):
    def stop(_: int) -> None:
        raise error("enough")

    backbone, long = fresh(tiny, speculate=False, max_rows=3), list[int]()
    others = [request(prompt_ids=text(9, i)) for i in range(3)]
    with together(backbone) as call:
        raising = call(
            request(max_new_tokens=900, on_token=stop), request(max_new_tokens=900, on_token=long.append)
        )
        futures = [call(asked) for asked in others]
    with pytest.raises(error, match="enough"):
        raising.result()
    for asked, future in zip(others, futures, strict=True):
        assert_answered(backbone, asked, future)
    until(lambda: not decoder_of(backbone)._active)
    assert decoder_of(backbone).passes < 900
    assert len(long) < 900


def test_a_row_that_leaves_while_another_joins(tiny: Backbone):
    """Round by round, without a thread: there is no room yet for the row that joined."""
    backbone = fresh(tiny)
    decoder = decoder_of(backbone)
    requests = [request(prompt_ids=text(9, i), max_new_tokens=6) for i in range(3)]
    stays, leaves, joins = (RowCall(backbone.policy, [asked], speculate=True) for asked in requests)
    decoder._waiting = [stays, leaves]
    assert decoder._round()
    decoder._waiting = [joins]
    leaves.cancelled = True
    while decoder._active or decoder._waiting:
        decoder._round()
    assert_naive(backbone, requests[0], stays.wait()[0])
    assert_naive(backbone, requests[2], joins.wait()[0])


@pytest.mark.parametrize("max_rows", [1, 4])
def test_a_caller_with_one_request_comes_before_the_many_of_another(
    tiny: Backbone, monkeypatch: pytest.MonkeyPatch, max_rows: int
):
    order: list[tuple[int, ...]] = []
    start = ModelDecoder._start

    def spy(self: ModelDecoder, started: Sequence[Any]) -> None:
        order.extend(slot.row.prompt for slot in started)
        start(self, started)

    monkeypatch.setattr(ModelDecoder, "_start", spy)
    backbone = fresh(tiny, max_rows=max_rows)
    many = [request(prompt_ids=text(6, i), max_new_tokens=3) for i in range(50)]
    one, another = (request(prompt_ids=text(7, i), max_new_tokens=3) for i in (1, 2))
    with together(backbone) as call:
        futures = [call(*many), call(one), call(another)]
    assert [len(future.result()) for future in futures] == [50, 1, 1]
    singles = [tuple(one.prompt_ids), tuple(another.prompt_ids)]
    assert [prompt for prompt in order[: 2 * max_rows + 2] if prompt in singles] == singles
    assert [prompt for prompt in order if prompt not in singles] == [tuple(a.prompt_ids) for a in many]


def test_what_is_not_a_number_stays_with_its_caller(tiny: Backbone):
    backbone = damaged(tiny, max_rows=2)
    # The bad one leaves a place beside the long one; the third takes it, and must not see what is in it.
    long = request(prompt_ids=clean(70), max_new_tokens=40)
    bad = request(prompt_ids=[*clean(60, 1), BROKEN, *clean(4, 2)])
    third = request(prompt_ids=clean(5, 3), max_new_tokens=20)
    with together(backbone) as call:
        futures = [call(long), call(bad), call(third)]
    with pytest.raises(NonFiniteError, match="while reading the prompt"):
        futures[1].result()
    assert_answered(backbone, long, futures[0])
    assert_answered(backbone, third, futures[2])


def test_a_guess_that_breaks_the_model_changes_nothing(tiny: Backbone):
    backbone = damaged(tiny)
    long = request(prompt_ids=clean(80), max_new_tokens=30)
    asked = request(prompt_ids=clean(5, 3))
    plain, _ = naive(backbone, asked)
    guessed = request(prompt_ids=clean(5, 3), guess_ids=[*plain[:3], BROKEN, BROKEN, 5, 6, 7])
    with together(backbone) as call:
        futures = [call(long), call(guessed)]
    assert_answered(backbone, long, futures[0])
    assert_answered(backbone, asked, futures[1])


def test_a_pass_that_fails_fails_for_one(tiny: Backbone):
    backbone = fresh(tiny)
    good = [request(prompt_ids=text(9, i), guess_ids=text(4, i)) for i in range(3)]
    with together(backbone) as call:
        wrong = call(request(prompt_ids=[5, 9999]), checked=False)
        futures = [call(asked) for asked in good]
    with pytest.raises(IndexError):
        wrong.result()
    for asked, future in zip(good, futures, strict=True):
        assert_answered(backbone, asked, future)


def test_a_head_that_fails_fails_for_one(tiny: Backbone):
    backbone = fresh(tiny)
    plain, _ = naive(tiny, request(prompt_ids=text(9)))
    good = [
        request(prompt_ids=text(9), guess_ids=plain),
        request(prompt_ids=text(9), forced_ids=plain[:3], guess_ids=plain),
    ]
    with together(backbone) as call:
        futures = [call(good[0]), call(request(prompt_ids=text(8), offsets=torch.zeros(3, 5))), call(good[1])]
    with pytest.raises(RuntimeError, match="size of tensor"):
        futures[1].result()
    assert_answered(backbone, good[0], futures[0])
    assert_answered(backbone, good[1], futures[2])


def test_a_decoder_that_fails_wakes_its_callers_and_works_again(
    tiny: Backbone, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: Any) -> None:
        raise OSError("out of luck")

    backbone = fresh(tiny)
    with monkeypatch.context() as patch:
        patch.setattr(ModelDecoder, "_leave", fails)
        with pytest.raises(RuntimeError, match="the decoder failed: OSError: out of luck"):
            decode(backbone, [request()])
    assert_naive(backbone, request(), decode(backbone, [request()])[0])


def test_callbacks_run_in_the_callers_thread_in_order(tiny: Backbone):
    plain, _ = naive(tiny, request(max_new_tokens=40))
    backbone, told = fresh(tiny), list[tuple[int, int]]()

    def tell(token: int) -> None:
        told.append((threading.get_ident(), token))

    asked = request(forced_ids=plain[:2], max_new_tokens=38, guess_ids=plain, on_token=tell)
    (completion,) = decode(backbone, [asked])
    assert completion.forward_passes < 10
    assert told == [(threading.get_ident(), token) for token in plain[2:]]


def test_a_callback_may_decode(tiny: Backbone):
    backbone, inner = fresh(tiny), list[Completion]()
    other = request(prompt_ids=text(7, 1))
    asked = request(max_new_tokens=3, on_token=lambda _: inner.extend(decode(backbone, [other])))
    assert_naive(backbone, asked, decode(backbone, [asked])[0])
    tokens, _ = naive(tiny, other)
    assert [completion.token_ids for completion in inner] == [tokens] * 3


def test_who_holds_the_lock_cannot_wait_for_the_decoder(tiny: Backbone):
    backbone = fresh(tiny)
    decoder_of(backbone)
    with backbone.policy.lock, pytest.raises(RuntimeError, match="holds the lock of the backbone"):
        decode(backbone, [request()])


def test_an_idle_thread_ends_and_starts_again(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batch_decoding, "IDLE_SECONDS", 0.01)
    backbone = fresh(tiny)
    decoder = decoder_of(backbone)
    for _ in range(3):
        assert_naive(backbone, request(), decode(backbone, [request()])[0])
        until(lambda: decoder._thread is None)
        assert decoder._store.slots == 0


def test_a_backbone_that_nobody_wants_goes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batch_decoding, "IDLE_SECONDS", 60.0)
    backbone = tiny_backbone()
    decode(backbone, [request(max_new_tokens=3)])
    decoder, gone = decoder_of(backbone), weakref.ref(backbone)
    assert decoder._thread is not None
    del backbone
    until(lambda: gc.collect() >= 0 and gone() is None)
    decoder.close()
    with pytest.raises(RuntimeError, match="shutting down"):
        decoder.decode([request()])


def test_whoever_waits_when_it_closes_gets_an_error(tiny: Backbone):
    backbone = fresh(tiny)
    decoder = decoder_of(backbone)
    with ThreadPoolExecutor(1) as pool:
        with backbone.policy.lock:
            future = pool.submit(decode, backbone, [request()])
            until(entered(decoder, 1))
            decoder._closing = True
        with pytest.raises(RuntimeError, match="shutting down"):
            future.result()
    decoder.close()
    with pytest.raises(RuntimeError, match="shutting down"):
        decode(backbone, [request()])


@pytest.mark.parametrize("batch", [True, False])
def test_a_process_forks_while_another_thread_is_within_the_model(batch: bool):
    """Alone, or when it finds out whether the model can be batched."""
    program = f"""
        import os, signal, threading, warnings
        import torch
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")  # forking with threads is what is tried
        from latentseek_agents.engine.backbone import Backbone
        from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
        from latentseek_agents.testing import tiny_model, tiny_tokenizer

        model, asked = tiny_model(), DecodeRequest(
            prompt_ids=[5, 6], max_new_tokens=3, end_token_ids=frozenset()
        )
        options = DecodingOptions(batch={batch})
        backbone = Backbone.from_model(model, tiny_tokenizer(), decoding=options)
        inside, leave = threading.Event(), threading.Event()

        def stay(*_):
            if threading.current_thread() is thread:
                inside.set()
                leave.wait()

        model.model.embed_tokens.register_forward_pre_hook(stay)
        thread = threading.Thread(target=decode, args=(backbone, [asked]))
        thread.start()
        inside.wait()
        child = os.fork()
        if not child:
            signal.alarm(60)  # ends a child that waits for ever
            decode(backbone, [asked])
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        leave.set()
        thread.join()
        print(status)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_a_process_ends_and_forks_while_a_thread_decodes():
    program = """
        import os, threading, warnings
        import torch
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")  # forking with threads is what is tried
        from latentseek_agents.engine._decoding import DecodeRequest, decode
        from latentseek_agents.testing import tiny_backbone

        backbone, busy = tiny_backbone(), threading.Event()

        def work(on_token=None, prompt=(5, 6)):
            request = DecodeRequest(
                prompt_ids=prompt,
                max_new_tokens=1000 if on_token else 9,
                end_token_ids=frozenset(),
                on_token=on_token,
            )
            return decode(backbone, [request])[0].token_ids

        def on_and_on():
            while True:
                work(lambda _: busy.set())

        expected = work()
        threading.excepthook = lambda _: None
        threading.Thread(target=on_and_on, daemon=True).start()
        for _ in range(5):
            busy.clear()
            busy.wait()
            child = os.fork()
            if not child:
                os._exit(0 if work() == expected else 1)
            assert os.waitpid(child, 0)[1] == 0
        busy.clear()
        busy.wait()
        print("end")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_a_deadline_holds_while_there_is_no_room(tiny: Backbone):
    backbone = fresh(tiny, max_rows=1)
    begun = threading.Event()
    long = request(max_new_tokens=400, on_token=lambda _: begun.set())
    late = request(prompt_ids=text(4), deadline=time.monotonic(), forced_ids=[7])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(decode, backbone, [long])
        begun.wait()
        (given_up,) = decode(backbone, [late])
        assert not running.done()
        assert (given_up.token_ids, given_up.new_tokens, given_up.finish_reason) == ([7], 0, "seconds")
        assert running.result()[0].new_tokens == 400


def test_a_search_whose_time_is_up_before_it_began_ends_with_what_there_is(tiny: Backbone):
    backbone = fresh(tiny, max_rows=1)
    begun = threading.Event()
    long = request(max_new_tokens=400, on_token=lambda _: begun.set())
    config = LatentSeekConfig(max_new_tokens=8, max_seconds=1e-9)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(decode, backbone, [long])
        begun.wait()
        result = LatentSeek(backbone, ScriptedVerifier([-1.0]), config).invoke("What is 2 + 2?")
        assert not running.done()
    assert (result.text, result.stop_reason) == ("", "seconds")


def test_a_cancelled_call_does_not_wait_for_its_turn(tiny: Backbone):
    backbone = fresh(tiny, max_rows=1)
    begun, stop = threading.Event(), threading.Event()
    long = request(max_new_tokens=400, on_token=lambda _: begun.set())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(decode, backbone, [long])
        begun.wait()
        threading.Timer(0.01, stop.set).start()
        with stopped_by(stop), pytest.raises(Cancelled):
            decode(backbone, [request(prompt_ids=text(4))])
        assert not running.done()
