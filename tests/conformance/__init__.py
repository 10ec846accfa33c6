"""The conformance cases of a router, and the page that lists their tests."""
