"""Evaluation: a judged set of questions, what a configuration makes of it, and how sure that is.

questions    read a set                 metrics    formulas, on plain lists
corpus       index a set's own corpus   bootstrap  confidence intervals
retrieval    measure a search           results    one run, kept as a file; report  as Markdown
"""
