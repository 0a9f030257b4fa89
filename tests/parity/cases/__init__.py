"""What is asked of both data planes, by subject."""
