"""TODO multirouter/gateway/formats/openai."""
