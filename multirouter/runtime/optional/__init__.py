"""Parts that a router may do without, which are loaded with the first router that has them."""
