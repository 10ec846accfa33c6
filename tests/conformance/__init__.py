"""The cases the router is held against, and the page that says which test holds which."""
