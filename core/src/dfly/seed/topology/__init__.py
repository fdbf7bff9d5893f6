"""Who is whose neighbour in a task, and through whom each segment enters the ring. Decides; moves no bytes and knows no HTTP."""
