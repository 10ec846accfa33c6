"""What the benchmarks have in common: loops, interleaved rounds, tables, progress, options."""
