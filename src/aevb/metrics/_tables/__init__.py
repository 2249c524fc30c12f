"""How close generated tables are to real ones, and what they reveal of the training rows."""
