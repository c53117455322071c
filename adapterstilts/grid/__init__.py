"""The grid: every intermediate task by every target by every language, planned, run and kept up to date."""
