"""The files of a public set become a table: one reader a set."""
