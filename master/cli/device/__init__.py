"""Devices: their keys at the master, what is done on the device itself with its own folder, and their agreements.

Here belongs `license-master device`.
"""
