"""What a programme says and what it gives: pure rules, standard library only."""
