"""Where the authors' release writes by other rules than this package."""

from dataclasses import dataclass

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone


@dataclass(frozen=True, kw_only=True)
class ReleaseRules:
    """How drafts and continuations are bounded, ended and read. The defaults are this package's own rules.

    Args:
        add_special_tokens: The release formats the prompt first, and then lets the tokenizer add its special
            tokens again.
        keep_special_tokens: Texts keep their special tokens.
        extra_tokens: How far a draft and a continuation may exceed their limits.
        bound_whole: ``max_new_tokens`` bounds the whole answer, not what follows the latents.
        draft_end_words: What ends a draft, and only a draft, besides the tokenizer's own end token, which
            alone ends a continuation. None: every end token of the model ends both.
        ends_in_latents: An end token among the latents ends the answer.
        reuse_draft: A draft is taken over where the tokens at the latents come back to its own. Not in the
            release, which bounds and ends a draft in other ways than what it writes later.
        keep_verdicts: What is taken over is not verified again.
        release_loss: The loss is -R Σ log(softmax(z W) + 1e-8), in place of log softmax.
    """

    add_special_tokens: bool = False
    keep_special_tokens: bool = False
    extra_tokens: int = 0
    bound_whole: bool = True
    draft_end_words: tuple[str, ...] | None = None
    ends_in_latents: bool = True
    reuse_draft: bool = True
    keep_verdicts: bool = True
    release_loss: bool = False

    def draft_limit(self, config: LatentSeekConfig) -> int:
        """Most tokens of a draft."""
        return (config.max_draft_tokens or config.max_new_tokens) + self.extra_tokens

    def continuation_limit(self, config: LatentSeekConfig, forced: int) -> int:
        """Most tokens behind the ``forced`` ones of a refinement."""
        return config.max_new_tokens + self.extra_tokens - (forced if self.bound_whole else 0)

    def latent_count(self, config: LatentSeekConfig, start: int, count: int) -> int:
        """How many of ``count`` latents from ``start`` on can be read by what is written later."""
        return max(0, min(count, config.max_new_tokens - start)) if self.bound_whole else count

    def draft_ends(self, backbone: Backbone) -> frozenset[int]:
        """Tokens that end a draft."""
        vocabulary = backbone.tokenizer.get_vocab() if self.draft_end_words else {}
        words = {vocabulary[word] for word in self.draft_end_words or () if word in vocabulary}
        return self.continuation_ends(backbone) | words

    def continuation_ends(self, backbone: Backbone) -> frozenset[int]:
        """Tokens that end what is written from the latents."""
        if self.draft_end_words is None:
            return backbone.eos_token_ids
        return frozenset({backbone.tokenizer.eos_token_id})


_OURS = ReleaseRules()
_RELEASE = ReleaseRules(
    add_special_tokens=True,
    keep_special_tokens=True,
    extra_tokens=1,
    bound_whole=False,
    draft_end_words=("</s>", "<|im_end|>", "<|endoftext|>"),
    ends_in_latents=False,
    reuse_draft=False,
    keep_verdicts=False,
    release_loss=True,
)


def rules_for(config: LatentSeekConfig) -> ReleaseRules:
    """The release's rules for :meth:`LatentSeekConfig.paper`, else this package's own."""
    return _RELEASE if config.release_behaviour else _OURS
