"""A vendor that nobody has heard of: one catalog file, no line of code.

Beacon sells consoles: 30 days of trial, then a yearly agreement that begins with the payment, for consoles in dozens;
a late renewal pays the gap at one and a half times the price. Hubs are delivered with two years of warranty and half
a year of updates, and nothing after release 3 is installed without them.
"""

CATALOG = """
[catalog]
name = "beacon"
title = "Beacon"
platforms = ["hub"]

[types.console]
name = "Beacon Console"
metering = "floating"
holders = ["login"]
version_basis = "none"

[policies.trial]
title = "Evaluation"
grants = "use"
begins = "purchase"
purchases_max = 1
reminder_days = [10]

[policies.year]
title = "Console year"
grants = "use"
begins = "purchase"
included_months = 12
reminder_days = [90, 30]

[policies.warranty]
title = "Hub warranty"
grants = "repair"
begins = "delivery"
included_months = 24

[policies.updates]
title = "Hub updates"
grants = "upgrades"
begins = "delivery"
included_months = 6

[offers.evaluation]
title = "Evaluation"
policies = ["trial"]
days = 30
price = "free"

[offers.year]
title = "A further year"
policies = ["year"]
months = [12]
late = "pay_gap"
gap_factor = "1.5"
price = "per_seat_and_month"
payment_first = true
renews_itself = true

[offers.three_years]
title = "Three further years"
policies = ["year"]
months = [36]
late = "pay_gap"
gap_factor = "1.5"
price = "per_seat_and_month"
payment_first = true

[offers.updates]
title = "Updates"
policies = ["updates"]
late = "from_today"
price = "fixed"

[products.consoles]
title = "Beacon consoles"
subject = "license"
policies = ["year"]
sold_by = "seat"
counts = ["console"]
minimum = 12
payment_first = true
trial = "evaluation"

[products.hub]
title = "Beacon hub"
subject = "device"
policies = ["warranty", "updates"]
gate_release = "3"
gate_policy = "updates"

[releases]
"3" = 2025-01-01
"4" = 2026-06-01
"""
