"""A local model as a LangChain chat model: ``ChatLatentSeek``, in ``model.py``, and its parts."""
