"""Thin adapters onto `attach`, one for each framework that trains, and onto the places where results are kept."""
