"""Answers to the questions of a CSV file, with pandas: rows share forward passes, and come as they are done.

pip install pandas
python examples/csv_batch.py examples/questions.csv answers.csv
"""

import sys
from typing import Any

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig

try:
    import pandas as pd
except ImportError:
    sys.exit("this example reads CSV files with pandas, which is not installed; run: pip install pandas")


def answered(table: "pd.DataFrame", seek: LatentSeek) -> "pd.DataFrame":
    questions, results = list(table["question"]), {}
    # With return_exceptions a row that cannot be worked on does not cost the others their answers.
    for row, result in seek.batch_as_completed(questions, {"max_concurrency": 16}, return_exceptions=True):
        results[row] = result
        print(f"{len(results)} of {len(table)}: {questions[row]} → {getattr(result, 'answer', result)}")

    def column(name: str) -> list[Any]:
        return [getattr(results[row], name, None) for row in range(len(table))]

    errors = [str(results[row]) if isinstance(results[row], Exception) else "" for row in range(len(table))]
    return table.assign(answer=column("answer"), passed=column("passed"), error=errors)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/csv_batch.py QUESTIONS.csv ANSWERS.csv")
    seek = LatentSeek(Backbone.embedded(), config=LatentSeekConfig.agreement(prompt="example"))
    answers = answered(pd.read_csv(sys.argv[1]), seek)
    answers.to_csv(sys.argv[2], index=False)
    verified = sum(passed is True for passed in answers["passed"])
    print(f"{verified} of {len(answers)} verified; {sys.argv[2]} has them all")
