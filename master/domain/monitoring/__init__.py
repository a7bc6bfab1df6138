"""An estate at a glance: overview, usage, alarms, reports, and where messages about them may be sent.

Here belongs what is shown and told. It decides nothing and nothing that decides needs it.
"""
