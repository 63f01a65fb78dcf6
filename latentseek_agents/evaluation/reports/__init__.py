"""Reports: recorded runs as tables and figures."""
