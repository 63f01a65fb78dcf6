"""LatentSeek for local Hugging Face models, as a LangGraph node and a LangChain Runnable."""
