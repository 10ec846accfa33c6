"""What differs from model to model: as data, and learned from the errors of services."""
