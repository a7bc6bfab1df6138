"""An estate at one moment: overview, usage, alarms, reports, and where messages about them may be sent.

Here belongs what is shown and told. Nothing here decides, and nothing that decides needs it.
"""
