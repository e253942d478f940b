"""Guards taken away one by one, in a copy of the tree: some test must turn red for each."""
