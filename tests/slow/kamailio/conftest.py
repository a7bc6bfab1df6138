"""The fixtures of the agent's tests with Kamailio."""

from tests.license_agent.conftest import master
from tests.license_agent.kamailio.conftest import kamailio, registered, site

__all__ = ["kamailio", "master", "registered", "site"]
