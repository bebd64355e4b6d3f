"""A consortium is kept: its authority, its officers, its manifest, and who joins, leaves or may ask what."""
