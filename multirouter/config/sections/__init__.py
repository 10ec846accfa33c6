"""Sections of a configuration file, with the descriptions of their settings."""
