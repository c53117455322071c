"""Reads the store: gains over the baseline, and submissions to XTREME."""
