"""A toy engine: Morse pairs and atoms that carry moments of their own."""
