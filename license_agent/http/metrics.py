"""The metrics of an agent for Prometheus, read from the agent when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from license_agent.agent import Agent
from slave_client import State


class Connections(Protocol):
    """The figures of the local API's connections."""

    turned_away: int

    @property
    def connections(self) -> int: ...


def registry_of(agent: Agent, connections: Connections) -> CollectorRegistry:
    """Return the registry with all metrics of one agent; docs/pbx.md lists them."""
    registry = CollectorRegistry()
    registry.register(_OfAgent(agent, connections))
    ProcessCollector(registry=registry)
    return registry


class _OfAgent(Collector):
    def __init__(self, agent: Agent, connections: Connections) -> None:
        self._agent, self._connections = agent, connections

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics with their present values."""
        agent, report = self._agent, self._agent.client.report()
        state = GaugeMetricFamily("license_agent_state", "1 for the state of the lease, else 0", labels=["state"])
        for each in State:
            state.add_metric([each.value], float(each is report.state))
        yield state
        outcomes = CounterMetricFamily("license_agent_outcomes", "Answers of the local API", labels=["outcome"])
        for outcome, count in sorted(agent.outcomes.items()):
            outcomes.add_metric([outcome], count)
        yield outcomes
        borrowed = GaugeMetricFamily("license_agent_seats_borrowed", "Seats borrowed", labels=["type"])
        loan_remaining = GaugeMetricFamily(
            "license_agent_loan_remaining_seconds", "How long borrowed seats last without a master", labels=["type"]
        )
        for loan in report.loans:
            borrowed.add_metric([loan.license_type], loan.seats)
            loan_remaining.add_metric([loan.license_type], loan.remaining_seconds)
        yield borrowed
        yield loan_remaining
        for name, meaning, value in (
            ("seats_held", "Seats in use", len(agent.held)),
            ("lease_remaining_seconds", "How long seats last without a master", report.remaining_seconds),
            ("notices", "Notices that hold now", len(report.notices)),
            ("waiting", "Requests that wait for a master", agent.waiting),
            ("connections", "Connections to the local API", self._connections.connections),
            ("readers", "Readers of events", agent.events.readers),
        ):
            yield GaugeMetricFamily(f"license_agent_{name}", meaning, value=value)
        for name, meaning, value in (
            ("connections_turned_away", "Connections that were one too many", self._connections.turned_away),
            ("readers_dropped", "Readers of events that did not read", agent.events.dropped),
        ):
            yield CounterMetricFamily(f"license_agent_{name}", meaning, value=value)
