"""One project at one revision: sites, devices, PBXs, licenses, and what follows from them.

Here belongs what an operator writes down and the pools and version limits that it comes to. Who holds seats does not.
"""
