"""`multirouter bench`: load on a router, a configuration or a running gateway."""
