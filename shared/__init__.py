"""What two or more services share: facts, rules, and the way to each outside part."""
