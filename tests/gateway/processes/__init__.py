"""Tests that run `multirouter serve` as processes."""
