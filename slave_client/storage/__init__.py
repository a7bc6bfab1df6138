"""What a client must know again after a restart: its state directory, and when that is written.

Here belongs what is on the disk of the PBX and how it is read back. What it means does not.
"""
