"""Selection of a provider within a tier: eligibility, weighted choice and strategies."""
