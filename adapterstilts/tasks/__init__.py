"""Task entries: declarative, without torch."""
