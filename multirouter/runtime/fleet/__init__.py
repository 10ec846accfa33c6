"""A router as one process of a fleet: connection to the shared state, and what follows from it."""
