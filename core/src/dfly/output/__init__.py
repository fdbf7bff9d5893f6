"""The user's files: where they go, whether they can, whether they are there already, and the atomic last step."""
