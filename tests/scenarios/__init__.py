"""The conformance cases, one file a section, each told as a test on the real router."""
