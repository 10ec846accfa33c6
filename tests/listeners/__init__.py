"""Tests of the listeners with hand-made events."""
