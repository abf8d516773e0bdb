"""What is asked, and how it is cut: the spec and the grid of its cells."""
