"""Evaluation: how often a method answers right, at what cost, with what certainty.

``latentseek eval`` fills a run's folder (:mod:`latentseek_agents.evaluation.runs`), ``latentseek report``
shows what is in it (:mod:`latentseek_agents.evaluation.reports`).
"""
