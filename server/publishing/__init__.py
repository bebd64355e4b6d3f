"""A promoted model reaches every node: an operator's order, a coordinator's messages, acknowledgements."""
