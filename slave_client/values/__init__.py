"""What a PBX maker hands the client and gets from it: settings, seats, answers, notices, reports.

Here belong frozen values, their checks and their messages. Nothing here calls a master, keeps a file or has a state.
"""
