"""Work that goes item by item: the run's folder and journal, the loop with its barrier, faces of a data set."""
