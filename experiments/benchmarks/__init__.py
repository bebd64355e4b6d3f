"""Jobs timed side by side with a plain peer, one object of figures a command."""
