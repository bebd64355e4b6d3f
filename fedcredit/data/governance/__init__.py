"""What leaves an institution: levels say what may, a contract how it looks, a scanner what must not be in it."""
