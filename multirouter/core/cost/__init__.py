"""Prices, token usage, billing and budgets."""
