"""Ids that services make and requests name."""
