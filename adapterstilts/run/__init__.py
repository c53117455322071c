"""Training and evaluating: one loop each, for every kind of task."""
