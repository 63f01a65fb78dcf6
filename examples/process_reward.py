"""Step checks first, then a process reward model; both say what they think of each step.

    python examples/process_reward.py HuggingFaceH4/Qwen2.5-Math-1.5B-Instruct-PRM-0.2

The separator is that of the model's training, which its card names.
"""

import argparse

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.tools import Combined, ProcessReward, StepVerifier

QUESTION = "Tom has 3 boxes of 12 pencils. He gives 9 pencils away. How many pencils does he have now?"


def main() -> None:
    """Search with both verifiers, and print what they say of each attempt."""
    parser = argparse.ArgumentParser(description="Judge steps by arithmetic and by a process reward model.")
    parser.add_argument("prm", help="a token-classification model: a name on the Hub, or a folder")
    parser.add_argument(
        "--separator", default="\n\n", help="what the model read behind each step in training"
    )
    options = parser.parse_args()
    prm = ProcessReward.from_pretrained(options.prm, separator=options.separator)
    verifier = Combined(StepVerifier(), prm)  # the model is asked only where no sum is wrong
    config = LatentSeekConfig.agreement(prompt="example")  # for a model this small
    result = LatentSeek(Backbone.embedded(), verifier, config=config).invoke(QUESTION)
    for attempt in result.iterations:
        name = f"attempt {attempt.iteration}" if attempt.iteration else "draft"
        print(f"{name}: {'passed' if attempt.passed else 'not passed'}, {attempt.reason}")
        for check in attempt.checks:
            if "step" in check["name"]:
                print(f"  {check['name']}: {check['reason']}")
    print(f"answer: {result.answer} ({'passed' if result.passed else 'not passed'})")


if __name__ == "__main__":
    main()
