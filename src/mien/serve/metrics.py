"""Counters for Prometheus; each server has its own set."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What the server counts; no label holds anything that a client sent."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry, namespace="mien")
        gauge = partial(Gauge, registry=self.registry, namespace="mien")
        histogram = partial(Histogram, registry=self.registry, namespace="mien")
        self.requests = counter("requests", "Requests answered", ["path", "status"])
        self.seconds = histogram("request_seconds", "Until the answer", ["path"], buckets=_SECONDS)
        self.waiting = gauge("waiting", "Tasks in the queue", ["lane"])
        self.turned_away = counter("turned_away", "Tasks that found the queue full", ["lane"])
        self.together = histogram("together", "Tasks read together", ["lane"], buckets=(1, 2, 4, 8, 16))
        self.faces = counter("faces", "Faces read")
        self.sessions = gauge("sessions", "Streams that are open")
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """All of them in Prometheus' text form."""
        return generate_latest(self.registry)
