"""What follows from a change, by what has changed: samples of a step, rate and length, regularisers, capacity."""
