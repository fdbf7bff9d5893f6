"""Hugging Face Hub for dfly."""
