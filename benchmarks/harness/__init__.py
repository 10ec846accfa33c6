"""Shared parts of the benchmarks: event loops, interleaved rounds, tables, progress, options."""
