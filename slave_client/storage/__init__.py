"""What a client must know again after a restart: its state directory, and when the directory is written.

Here belongs what is on the disk of the PBX and how it is read back, but not what the content means.
"""
