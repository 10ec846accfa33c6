"""Tests of the Responses format of the gateway."""
