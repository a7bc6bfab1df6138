"""Sites that compete for one pool, minute by minute: named scenarios, and how fairly they end.

`python -m tests.slow.fairness` plays all of them and draws docs/pictures/fairness.svg.
"""
