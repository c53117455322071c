"""How each kind of task is encoded, trained, decoded and scored: one file per kind."""
