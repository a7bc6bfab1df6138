"""The master of the agent's tests."""

from tests.license_agent.conftest import master

__all__ = ["master"]
