"""What proves that nothing is lost and nothing is done twice: a witness, crash points, plugs."""
