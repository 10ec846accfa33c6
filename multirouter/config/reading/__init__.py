"""Reads a configuration file: YAML or TOML, references to the environment, line numbers."""
