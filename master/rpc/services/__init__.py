"""One thin module for each service of the API: a message comes in, the master is asked, a message goes out.

Here belongs nothing that decides. Fields are checked and written in `convert`.
"""
