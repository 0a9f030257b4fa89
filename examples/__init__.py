"""Runnable applications; each one is run by a test."""
