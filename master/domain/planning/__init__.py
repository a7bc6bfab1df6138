"""Plans: what planned changes would lead to, decided on a copy by the code that decides real requests.

Here belongs the answer to a plan. Nothing here is ever carried out.
"""
