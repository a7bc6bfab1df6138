"""What is seen and reported of estates: overviews, usage, alarms, webhooks, reports, the audit.

Here belongs what may be late or fail without harm to any lease.
"""
