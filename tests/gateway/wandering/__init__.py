"""Conversations that another service answers in each turn, with clients of every format."""
