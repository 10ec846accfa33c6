"""Test tools: virtual time, scripted providers with faults, an event recorder, chaos."""

from __future__ import annotations

from multirouter.testing.chaos import Chaos, chaos
from multirouter.testing.faults import Fault, Outage, StatusError
from multirouter.testing.latency import Constant, Exponential, Latency, LogNormal, Uniform
from multirouter.testing.recorder import Recorder
from multirouter.testing.scripted import Answer, ReceivedRequest, ScriptedProvider
from multirouter.testing.virtual_time.asyncio_loop import VirtualLoop
from multirouter.testing.virtual_time.deadlock import Deadlock
from multirouter.testing.virtual_time.runner import VirtualClock, virtual_clock

__all__ = [
    "Answer",
    "Chaos",
    "Constant",
    "Deadlock",
    "Exponential",
    "Fault",
    "Latency",
    "LogNormal",
    "Outage",
    "ReceivedRequest",
    "Recorder",
    "ScriptedProvider",
    "StatusError",
    "Uniform",
    "VirtualClock",
    "VirtualLoop",
    "chaos",
    "virtual_clock",
]
