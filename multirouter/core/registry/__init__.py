"""Providers and routes of one router, and the state that outlives a change of them."""
