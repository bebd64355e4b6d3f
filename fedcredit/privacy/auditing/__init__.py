"""A finished training into what an attacker learns of it: bounds on epsilon, membership, inversion, planted faults."""
