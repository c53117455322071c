"""What a task is, and every task there is: declarative entries, nothing of torch."""
