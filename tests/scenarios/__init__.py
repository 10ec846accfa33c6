"""The conformance cases, one file for each section, as tests on the real router."""
