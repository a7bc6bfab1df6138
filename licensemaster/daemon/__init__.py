"""What a process needs that runs for long: settings, log, open files, garbage, halts; for masters and for agents.

Here belongs what both do alike and a client library must not bring into a PBX: this room alone needs what the extra
`daemon` of the distribution installs. What is set, and what is logged, is for the program to say.
"""
