"""Lines of stored runs: what a kill tore off is left out, and what has ended may be compressed."""

import gzip
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from _stored_runs import append_line, read_lines


def test_lines_come_back_plain_and_compressed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "run.jsonl", tmp_path / "run.jsonl.gz"
    assert read_lines(plain) == []
    for value in ({"text": "a\u2028b"}, ["½", 1.5]):
        append_line(plain, value)
    assert read_lines(plain) == [{"text": "a\u2028b"}, ["½", 1.5]]
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_lines(packed) == read_lines(plain)
    with plain.open("a") as lines:
        lines.write('{"text": "tor')
    assert read_lines(plain) == read_lines(packed)
    append_line(plain, 3)
    assert read_lines(plain) == [*read_lines(packed), 3]


def test_a_compressed_run_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has ended; name a file that does not end in"):
        append_line(tmp_path / "run.jsonl.gz", {})
