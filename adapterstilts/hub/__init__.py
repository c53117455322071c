"""Adapters on the Hugging Face Hub: published with a card, pulled with checks, and in other forms."""
