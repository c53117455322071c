"""The command line: one thin file per verb; bodies import what they need, so that help is quick."""
