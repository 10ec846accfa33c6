"""Choosing a provider: candidates, weighted choice, strategies and eligibility."""
