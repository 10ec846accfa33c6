"""Everything that awaits: the call loop, attempts, hedges, trials, timers and event loops."""
