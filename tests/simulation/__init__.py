"""The pure rules, played against a made-up day of trouble in virtual time, one day for each seed."""
