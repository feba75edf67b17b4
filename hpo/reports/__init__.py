"""What a study says, as pandas frames and as pictures."""
