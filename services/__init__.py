"""What production runs: one package a service, none of which imports another."""
