"""The latent search: model, decoding, latents, one iteration. Knows nothing of LangChain or LangGraph."""
