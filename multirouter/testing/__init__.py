"""Tests without waiting: virtual time, providers that fail to order, records, chaos."""

from __future__ import annotations

from multirouter.testing.clock import VirtualClock, virtual_clock
from multirouter.testing.deadlock import Deadlock
from multirouter.testing.virtual_loop import VirtualLoop

__all__ = ["Deadlock", "VirtualClock", "VirtualLoop", "virtual_clock"]
