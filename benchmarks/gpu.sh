#!/usr/bin/env bash
# All that needs a GPU, on one GPU and within ten minutes: the CUDA tests, our decoder at 1, 16, 64 and 160 rows beside
# `generate` and vLLM, a search beside plain sampling, and a naive Algorithm 1. It prints the tables and leaves the
# figures in the folder that it is given (default: benchmarks/runs/gpu).
#
#     PYTHON=python3 benchmarks/gpu.sh [FOLDER]
#
# It has not been run on a GPU yet. What it prints: how many tests passed; for each shape and engine the tokens per
# second at each number of rows, those of 32 searches at once beside drawn and greedy tokens of the same engine, and
# the ratios; and how many times as long the naive Algorithm 1 takes as the search.
#
# It needs this package's dependencies, pytest, pytest-asyncio and pytest-socket, and the embedded model; vllm if it is
# to be measured. The weights are random, so that nothing is downloaded.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
out=${1:-benchmarks/runs/gpu}
mkdir -p "$out"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 VLLM_LOGGING_LEVEL=WARNING
failed=0 total=580

# part SECONDS NAME COMMAND...: run one part, at most so long and within the total; one that fails stops no other.
part() {
    local limit=$1 name=$2 left=$((total - SECONDS))
    shift 2
    ((limit <= left)) || limit=$left
    if ((limit < 20)); then
        printf '\n==== %s is left out: %d s have passed\n' "$name" "$SECONDS"
        failed=1
        return
    fi
    printf '\n==== %s (%d s since the start, at most %d s)\n' "$name" "$SECONDS" "$limit"
    timeout --signal=INT --kill-after=10 "$limit" "$@" 2>&1 | tee "$out/$name.log" || {
        echo "$name ended with status $?"
        failed=1
    }
}

engines=own,generate
"$python" -c 'import vllm' 2>/dev/null && engines=own,generate,vllm
tests=(tests/integration/test_cuda.py)
[[ $engines == *vllm* ]] && tests+=(tests/vllm)

nvidia-smi --query-gpu=name,memory.total --format=csv,noheader || echo "there is no GPU here"
part 130 tests "$python" -m pytest -q -p no:cacheprovider --force-enable-socket -o filterwarnings=default \
    "${tests[@]}"
part 240 engines-7b "$python" benchmarks/engines.py --shape 7b --dtype bfloat16 --rows 1,16,64,160 --at-once 32 \
    --engines ${engines//,/ } --json "$out/engines-7b.json"
part 120 engines-1.5b "$python" benchmarks/engines.py --shape 1.5b --dtype bfloat16 --rows 1,16,64,160 \
    --at-once 32 --latents consistent --engines ${engines//,/ } --json "$out/engines-1.5b.json"
part 80 naive "$python" benchmarks/speed.py --only loop --questions 2 --max-new-tokens 96 --check-naive \
    --json "$out/naive.json"
printf '\n%d s in all\n' "$SECONDS"
exit $failed
