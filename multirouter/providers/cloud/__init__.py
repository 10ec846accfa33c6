"""Providers of the clouds: Azure, Bedrock and Vertex AI, with their addresses and credentials."""
