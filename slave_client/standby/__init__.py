"""Taking over for another PBX: its lease opened, or carried on by a signed standby lease while no master answers.

Here belongs what only a standby does. The lease that was taken over is kept by `lease` like any other.
"""
