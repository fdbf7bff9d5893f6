"""What operators ask and order: what is kept and what goes on, preheating, and archives for closed networks."""
