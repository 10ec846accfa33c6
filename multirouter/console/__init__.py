"""The console: a page that shows a router at work, and the data behind it.

The page is plain HTML, CSS and ES modules in `static/`. The server that sends it authenticates its
users. Nothing is computed while no page is open.
"""
