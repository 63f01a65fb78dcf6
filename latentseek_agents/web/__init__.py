"""A page to watch a search, which a LangGraph server serves beside its API; see ``app.py``."""
