"""What a token does to the memory of a head: the members of the family, one module a kind."""
