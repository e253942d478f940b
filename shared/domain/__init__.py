"""The rules, pure: no clock, no chance, no network, no library. A linter keeps it so."""
