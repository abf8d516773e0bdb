"""How very many neurons are trained at once."""
