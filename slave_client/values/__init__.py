"""What a PBX maker hands the client and is told by it: settings, seats, answers, notices, reports.

Here belong frozen values, their checks and their messages. Nothing here calls a master, keeps a file or has a state.
"""
