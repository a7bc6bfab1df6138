"""Simulated sites: PBXs with phones that come and go, for the demo, tests and trials; built on `slave_client` alone.

What belongs here: what acts as a PBX would. What does not: anything about leases (`slave_client`) or masters.
"""

from simulator.sites import SiteCounts, SiteEvent, SiteEventKind, SiteSimulator

__all__ = ["SiteCounts", "SiteEvent", "SiteEventKind", "SiteSimulator"]
