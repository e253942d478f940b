"""What ``darkroom doctor`` looks at: one file a part, each finding with what mends it."""
